"""How near merged tensors come to mergekit's, method by method.

    .venv/bin/python -m benchmarks.parity FOLDER --mergekit PYTHON [--sizes tiny 125m] [--cases NAME ...] [--numbers FILE]

FOLDER takes parents and results; PYTHON is the interpreter of an environment with mergekit, which merges every case with
one thread and `--random-seed 0`, in float32 and in bfloat16. Prints a Markdown table:

- rules: entries that `merging.peer_rules` makes differently, of all, in either dtype; 0 means equal to the bit;
- ours: the largest difference of our own arithmetic from mergekit's float32 tensors, over the largest entry of the tensor,
  and the tensor in which it is found. Methods that draw at random have no such number.

With `--numbers` the tiny parents and some of mergekit's tensors are written to a file, for tests.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.merge_speed import make_parents
from merging.draws import Draws
from merging.elements import torch_dtype
from merging.mergekit import from_yaml
from merging.methods import methods
from merging.peer_draws import PeerDraws
from merging.peer_rules import rules
from merging.recipes import Parent, Recipe

MODELS: Final = ("base", "ft1", "ft2", "ft3")
DTYPES: Final = ("float32", "bfloat16")
WEIGHTS: Final = (0.5, 0.3, 0.2)
KEPT: Final = ("model.norm.weight", "model.layers.0.self_attn.k_proj.weight", "model.layers.0.mlp.down_proj.weight")
"""A vector, a small and a larger matrix: what `--numbers` keeps of each case."""
TINY: Final = {
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
}
N_TOKENS: Final = 16
SEED: Final = 1183
"""With it no two magnitudes of bfloat16 are equal at a threshold of the tensors that `--numbers` keeps."""

# Runs in the other environment: merges [[configuration, folder], ...] and says which versions did.
PEER: Final = """
import json, sys
import torch
from importlib.metadata import version
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
torch.set_num_threads(1)
options = MergeOptions(random_seed=0, quiet=True, write_model_card=False, copy_tokenizer=False)
for config, folder in json.load(open(sys.argv[1])):
    run_merge(MergeConfiguration.model_validate(config), out_path=folder, options=options)
print(json.dumps({"mergekit": version("mergekit"), "torch": version("torch")}))
"""

Config = dict[str, object]


def _weighted(
    method: str, n: int = 3, base: bool = True, each: Mapping[str, float] | None = None, **settings: object
) -> Config:
    """The first n variants with weights, over the base model or without."""
    models = [{"model": MODELS[i + 1], "parameters": {"weight": WEIGHTS[i], **(each or {})}} for i in range(n)]
    return _config(method, models, base, settings)


def _alike(method: str, n: int = 3, base: bool = True, **settings: object) -> Config:
    """The first n variants, all alike, over the base model or without."""
    return _config(method, [{"model": MODELS[i + 1]} for i in range(n)], base, settings)


def _config(method: str, models: Sequence[object], base: bool, settings: Mapping[str, object]) -> Config:
    over = {"base_model": "base"} if base else {}
    return {"merge_method": method, **over, "models": [*models], **({"parameters": {**settings}} if settings else {})}


HALF: Final = {"density": 0.5}
CRUMBS: Final = {"density": 0.75, "gamma": 0.125}
RANKED: Final = {"density": 0.5, "epsilon": 0.25}
CASES: Final[Mapping[str, Config]] = {
    "linear": _weighted("linear", base=False),
    "linear, not normalised": _weighted("linear", base=False, normalize=False),
    "slerp": _config("slerp", [{"model": "base"}, {"model": "ft1"}], True, {"t": 0.4}),
    "nuslerp": _weighted("nuslerp", 2, base=False),
    "nuslerp, rows": _weighted("nuslerp", 2, base=False, nuslerp_flatten=False),
    "nuslerp, columns": _weighted("nuslerp", 2, base=False, nuslerp_flatten=False, nuslerp_row_wise=True),
    "nuslerp over base": _weighted("nuslerp", 2),
    "multislerp": _weighted("multislerp", base=False),
    "multislerp over base": _weighted("multislerp"),
    "karcher": _alike("karcher", base=False),
    "task_arithmetic": _weighted("task_arithmetic"),
    "task_arithmetic, normalised": _weighted("task_arithmetic", normalize=True, **{"lambda": 0.7}),
    "ties": _weighted("ties", each=HALF),
    "ties, not normalised": _weighted("ties", each=HALF, normalize=False, **{"lambda": 1.5}),
    "breadcrumbs": _weighted("breadcrumbs", each=CRUMBS),
    "breadcrumbs_ties": _weighted("breadcrumbs_ties", each=CRUMBS),
    "dare_linear": _weighted("dare_linear", each=HALF),
    "dare_linear, not rescaled": _weighted("dare_linear", each=HALF, rescale=False),
    "dare_ties": _weighted("dare_ties", each=HALF),
    "della": _weighted("della", each=RANKED),
    "della_linear": _weighted("della_linear", each=RANKED),
    "model_stock": _alike("model_stock"),
    "model_stock, rows": _alike("model_stock", filter_wise=True),
    "sce": _alike("sce"),
    "sce, half": _alike("sce", select_topk=0.5),
    "nearswap": _alike("nearswap", 1, t=0.0005),
    "arcee_fusion": _alike("arcee_fusion", 1),
    "passthrough": _alike("passthrough", 1, base=False),
    "passthrough, scaled": _config("passthrough", [{"model": "ft1", "parameters": {"scale": 0.7}}], False, {}),
}
RANDOM: Final = ("dare_linear", "dare_ties", "della", "della_linear")


@dataclass(frozen=True)
class Case:
    """A merge that mergekit has done: its tensors are in `folder`."""

    name: str
    config: Config
    folder: Path

    def recipe(self, models: Path) -> Recipe:
        """The same merge for us, of the parents in a folder."""
        return from_yaml(yaml.safe_dump(self.config), lambda name: Parent(name, str(models / name), name))

    def theirs(self) -> Iterator[tuple[str, Tensor]]:
        """mergekit's tensors, in string order of their names."""
        with safe_open(self.folder / "model.safetensors", "pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)


@dataclass
class Difference:
    """Entries that differ, of all; the largest difference over the largest entry of its tensor, and where."""

    n_unequal: int = 0
    n: int = 0
    largest: float = 0.0
    tensor: str = ""

    def count(self, name: str, ours: Tensor, theirs: Tensor) -> None:
        """Adds a tensor."""
        self.n_unequal += int((ours != theirs).sum())
        self.n += theirs.numel()
        found = float((ours.double() - theirs.double()).abs().max() / theirs.abs().max().clamp(min=1e-30))
        if found > self.largest:
            self.largest, self.tensor = found, name


def main(arguments: Sequence[str]) -> None:
    """Merge and compare."""
    given = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # as mergekit's, because the last bit of a sum depends on it
    for size in given.sizes:
        models = given.folder / size
        make_tiny(models) if size == "tiny" else make_parents(models, size)
        chosen = {name: CASES[name] for name in given.cases or CASES}
        cases = {dtype: list(_cases(chosen, models, dtype, given.folder / "out")) for dtype in DTYPES}
        versions = _run_peer(given.mergekit, [case for dtype in DTYPES for case in cases[dtype]], given.folder)
        print(f"\n{size}, mergekit {versions['mergekit']} on torch {versions['torch']}\n")
        print("| case | rules, float32 | rules, bfloat16 | ours, float32 | where |\n|---|---:|---:|---:|---|")
        for exact, rounded in zip(*(cases[dtype] for dtype in DTYPES), strict=True):
            print(_row(exact, rounded, models), flush=True)
        if given.numbers and size == "tiny":
            given.numbers.write_text(json.dumps(_numbers(versions, models, cases), indent=1) + "\n")


def make_tiny(folder: Path) -> None:
    """A base and three variants of it with a common direction, of 760 numbers each."""
    for number, name in enumerate(MODELS):
        (folder / name).mkdir(parents=True, exist_ok=True)
        generators = [torch.Generator().manual_seed(SEED + more) for more in (0, 1, 2 + number)]
        tensors = {}
        for tensor, shape in _tiny_shapes().items():
            base, common, own = (torch.randn(shape, generator=generator) for generator in generators)
            change = 0.02 * common + 0.01 * own if number else torch.zeros(shape)
            tensors[tensor] = (1.0 if len(shape) == 1 else 0.0) + 0.05 * base + change
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
        rest = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": N_TOKENS}
        (folder / name / "config.json").write_text(json.dumps({**rest, **TINY, "tie_word_embeddings": False}))


def _tiny_shapes() -> dict[str, tuple[int, ...]]:
    width, inner = TINY["hidden_size"], TINY["intermediate_size"]
    small = width * TINY["num_key_value_heads"] // TINY["num_attention_heads"]
    attention = {"q_proj": (width, width), "k_proj": (small, width), "v_proj": (small, width), "o_proj": (width, width)}
    layer = {
        **{f"self_attn.{name}": shape for name, shape in attention.items()},
        **{"mlp.gate_proj": (inner, width), "mlp.up_proj": (inner, width), "mlp.down_proj": (width, inner)},
        **{"input_layernorm": (width,), "post_attention_layernorm": (width,)},
    }
    ends = {"model.embed_tokens": (N_TOKENS, width), "model.norm": (width,), "lm_head": (N_TOKENS, width)}
    return {
        f"{name}.weight": shape for name, shape in (ends | {f"model.layers.0.{n}": s for n, s in layer.items()}).items()
    }


def _cases(chosen: Mapping[str, Config], models: Path, dtype: str, out: Path) -> Iterator[Case]:
    for number, (name, config) in enumerate(chosen.items()):
        yield Case(name, config | {"dtype": dtype}, out / models.name / dtype / str(number))


def _run_peer(python: str, cases: Sequence[Case], folder: Path) -> Mapping[str, str]:
    jobs = []
    for case in cases:
        shutil.rmtree(case.folder, ignore_errors=True)
        jobs.append([_placed(case.config, folder / case.folder.parent.parent.name), str(case.folder)])
    (folder / "jobs.json").write_text(json.dumps(jobs))
    said = subprocess.run([python, "-c", PEER, str(folder / "jobs.json")], capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(f"mergekit failed:\n{said.stderr[-2000:]}")
    versions: Mapping[str, str] = json.loads(said.stdout.splitlines()[-1])
    return versions


def _placed(value: object, models: Path) -> object:
    """A configuration with folders for names."""
    if isinstance(value, dict):
        named = ("model", "base_model")
        return {key: str(models / str(of)) if key in named else _placed(of, models) for key, of in value.items()}
    return [_placed(one, models) for one in value] if isinstance(value, list) else value


def _row(exact: Case, rounded: Case, models: Path) -> str:
    by_rules = [_compared(case, models, _rule) for case in (exact, rounded)]
    counts = [f"{found.n_unequal}" + (f" of {found.n}" if found.n_unequal else "") for found in by_rules]
    if exact.config["merge_method"] in RANDOM:
        return f"| {exact.name} | {' | '.join(counts)} | - | |"
    ours = _compared(exact, models, _own)
    return f"| {exact.name} | {' | '.join(counts)} | {ours.largest:.1e} | {ours.tensor} |"


MergeOf = Callable[[Recipe, str, Tensor | None, Sequence[Tensor], PeerDraws], Tensor]


def _rule(recipe: Recipe, name: str, base: Tensor | None, parents: Sequence[Tensor], draws: PeerDraws) -> Tensor:
    return rules[recipe.method](base, parents, recipe.values[0], _settings(recipe), draws)


def _own(recipe: Recipe, name: str, base: Tensor | None, parents: Sequence[Tensor], draws: PeerDraws) -> Tensor:
    merge = methods.get(recipe.method).merge
    return merge(base, parents, recipe.values[0], _settings(recipe), Draws(recipe.seed, name))


def _settings(recipe: Recipe) -> dict[str, float | bool]:
    return {**recipe.settings, **(recipe.shared[0] if recipe.shared else {})}


def _compared(case: Case, models: Path, merge: MergeOf) -> Difference:
    recipe = case.recipe(models)
    dtype, draws, found = torch_dtype(str(case.config["dtype"])), PeerDraws(0), Difference()
    files = {name: safe_open(models / name / "model.safetensors", "pt") for name in MODELS}
    for name, theirs in case.theirs():
        base = None if recipe.base is None else files[recipe.base.name].get_tensor(name).to(dtype)
        parents = [files[parent.name].get_tensor(name).to(dtype) for parent in recipe.parents]
        found.count(name, merge(recipe, name, base, parents, draws), theirs)
    return found


def _numbers(versions: Mapping[str, str], models: Path, cases: Mapping[str, Sequence[Case]]) -> dict[str, object]:
    """What a test needs to know without mergekit. Numbers are little-endian in base64, tensors one after another."""
    shapes = dict(sorted(_tiny_shapes().items()))
    parents = {name: load_file(models / name / "model.safetensors") for name in MODELS}
    return {
        **versions,
        "shapes": shapes,
        "parents": {name: _packed(of[tensor] for tensor in shapes) for name, of in parents.items()},
        "kept": sorted(KEPT),
        "cases": {
            pair[0].name: {"config": CASES[pair[0].name]}
            | {
                str(one.config["dtype"]): _packed(tensor for name, tensor in one.theirs() if name in KEPT)
                for one in pair
            }
            for pair in zip(*(cases[dtype] for dtype in DTYPES), strict=True)
        },
    }


def _packed(tensors: Iterable[Tensor]) -> str:
    numbers = [tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors]
    return base64.b64encode(b"".join(numbers)).decode()


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description="How near merged tensors come to mergekit's.")
    parser.add_argument("folder", type=Path, help="for parents and results; 125m needs 20 GB with all cases")
    parser.add_argument("--mergekit", required=True, help="the Python of an environment with mergekit")
    parser.add_argument("--sizes", nargs="+", choices=["tiny", "125m"], default=["tiny"])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), help="all, unless some are named")
    parser.add_argument("--numbers", type=Path, help="write a file of mergekit's numbers here")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
