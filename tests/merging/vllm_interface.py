"""What vLLM publishes of the things that our engine uses, read from its wheels without importing them.

    pip download --no-deps --dest WHEELS vllm==VERSION
    python -m tests.merging.vllm_interface WHEELS/*.whl

writes `vllm_interface.json`: for every version the packages that it pins, the parameters of functions and classes, the
attributes that objects have, words, and which of our environment variables it reads. A name that a wheel no longer has is
an error here.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from merging.engines.vllm import ENVIRONMENT

FILE: Final = Path(__file__).with_suffix(".json")
PINS: Final = ("torch", "transformers", "numba", "tokenizers", "safetensors")
FUNCTIONS: Final = {
    "LLM": "entrypoints/llm.py:LLM.__init__",
    "LLM.collective_rpc": "entrypoints/llm.py:LLM.collective_rpc",
    "LLM.reset_prefix_cache": "entrypoints/llm.py:LLM.reset_prefix_cache",
    "LLMEngine.add_request": "v1/engine/llm_engine.py:LLMEngine.add_request",
    "LLMEngine.abort_request": "v1/engine/llm_engine.py:LLMEngine.abort_request",
    "LLMEngine.has_unfinished_requests": "v1/engine/llm_engine.py:LLMEngine.has_unfinished_requests",
    "LLMEngine.step": "v1/engine/llm_engine.py:LLMEngine.step",
    "InprocClient.shutdown": "v1/engine/core_client.py:InprocClient.shutdown",
    "Worker.reload_weights": "v1/worker/gpu_worker.py:Worker.reload_weights",
    "GPUModelRunner.reload_weights": "v1/worker/gpu_model_runner.py:GPUModelRunner.reload_weights",
    "cleanup_dist_env_and_memory": "distributed/parallel_state.py:cleanup_dist_env_and_memory",
    "RequestOutput": "outputs.py:RequestOutput.__init__",
}
RECORDS: Final = {
    "EngineArgs": "engine/arg_utils.py:EngineArgs",
    "SamplingParams": "sampling_params.py:SamplingParams",
    "CompletionOutput": "outputs.py:CompletionOutput",
    "Logprob": "logprobs.py:Logprob",
    "TokensPrompt": "inputs/llm.py:TokensPrompt",
}
"""Classes whose fields are their parameters."""
ATTRIBUTES: Final = {
    "LLM": "entrypoints/llm.py:LLM",
    "LLMEngine": "v1/engine/llm_engine.py:LLMEngine",
    "RequestOutput": "outputs.py:RequestOutput",
}
"""Classes that set attributes of themselves."""
WORDS: Final = {
    "finish reasons": "v1/engine/__init__.py:FINISH_REASON_STRINGS",
    "output kinds": "sampling_params.py:RequestOutputKind",
    "load formats": "model_executor/model_loader/__init__.py:LoadFormats",
}


def interface(version: str) -> dict[str, Any]:
    """What was read from the wheel of a version."""
    found: dict[str, Any] = json.loads(FILE.read_text())[version]
    return found


def versions() -> list[str]:
    """Of which something was read, the oldest first."""
    return list(json.loads(FILE.read_text()))


def signature(published: dict[str, Any], name: str) -> Signature:
    """Of a function, or of a class as it is made. Every default is None."""
    given, kinds = _definition(f"def f({published['parameters'][name]}): ...").args, Parameter
    plain = [*given.posonlyargs, *given.args]
    optional = [False] * (len(plain) - len(given.defaults)) + [True] * len(given.defaults)
    found = [(a, kinds.POSITIONAL_OR_KEYWORD, has) for a, has in zip(plain, optional, strict=True)]
    found += [(given.vararg, kinds.VAR_POSITIONAL, False)] if given.vararg else []
    named = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    found += [(a, kinds.KEYWORD_ONLY, default is not None) for a, default in named]
    found += [(given.kwarg, kinds.VAR_KEYWORD, False)] if given.kwarg else []
    return Signature([Parameter(a.arg, kind, default=None if has else Parameter.empty) for a, kind, has in found])


def main(wheels: Sequence[str]) -> None:
    read = dict(sorted(_read(ZipFile(wheel)) for wheel in wheels))
    FILE.write_text(json.dumps(read, indent=1) + "\n")


def _read(wheel: ZipFile) -> tuple[str, dict[str, Any]]:
    """A version and its interface."""
    metadata = next(wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    version = re.search(r"^Version: (.+)$", metadata, re.MULTILINE)
    required = re.findall(r"^Requires-Dist: ([\w-]+)([^;\n]*)$", metadata, re.MULTILINE)

    def node(place: str) -> ast.AST:
        return _named(ast.parse(wheel.read(f"vllm/{place.partition(':')[0]}")), place)

    return str(version and version[1]), {
        "requires": {name: pin for name, pin in required if name in PINS},
        "parameters": {
            **{name: _parameters(node(place)) for name, place in FUNCTIONS.items()},
            **{name: _fields(node(place)) for name, place in RECORDS.items()},
        },
        "attributes": {name: _attributes(node(place)) for name, place in ATTRIBUTES.items()},
        "words": {name: sorted(_words(node(place))) for name, place in WORDS.items()},
        "environment": sorted(ENVIRONMENT.keys() & set(_words(node("envs.py:environment_variables")))),
    }


def _named(tree: ast.Module, place: str) -> ast.AST:
    """The definition, or the value that is assigned, at `file:outer.inner`."""
    at: ast.AST = tree
    for name in place.partition(":")[2].split("."):
        at = next((node for node in ast.iter_child_nodes(at) if _is(node, name)), ast.Module([], []))
        if isinstance(at, ast.Module):
            raise LookupError(f"vLLM has no {place}")
    return at


def _is(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return node.name == name
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)


def _parameters(node: ast.AST) -> str:
    """Without `self`, annotations and the values of defaults."""
    assert isinstance(node, ast.FunctionDef)
    given = node.args
    for argument in ast.walk(given):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    given.args = [argument for argument in given.args if argument.arg != "self"]
    given.defaults = [ast.Constant(None) for _ in given.defaults]
    given.kw_defaults = [default and ast.Constant(None) for default in given.kw_defaults]
    return ast.unparse(given)


def _fields(node: ast.AST) -> str:
    """As keywords: nobody here passes fields by their place."""
    assert isinstance(node, ast.ClassDef)
    fields = [n for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
    optional = [n.value is not None or "NotRequired" in ast.unparse(n.annotation) for n in fields]
    names = [ast.unparse(n.target) for n in fields]
    return ", ".join(["*", *(f"{name}=None" if has else name for name, has in zip(names, optional, strict=True))])


def _definition(source: str) -> ast.FunctionDef:
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def _attributes(node: ast.AST) -> list[str]:
    stored = (n for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))
    return sorted({n.attr for n in stored if isinstance(n.value, ast.Name) and n.value.id == "self"})


def _words(node: ast.AST) -> Iterator[str]:
    """Members of an enumeration, keys of a dictionary, or all strings."""
    if isinstance(node, ast.ClassDef):
        yield from (t.id for n in node.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name))
    elif isinstance(value := getattr(node, "value", None), ast.Dict):
        yield from (str(key.value) for key in value.keys if isinstance(key, ast.Constant))
    else:
        yield from {str(n.value) for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


if __name__ == "__main__":
    main(sys.argv[1:])
