"""One device's bench: parents, a model shell and an engine that stay in place from candidate to candidate. Imports torch.

Knows nothing of runs, rows or queues: whoever has a recipe can have it scored or built here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from merging import plain
from merging.absorption import Absorption
from merging.assembly import NamedTensor, Place, assemble
from merging.benchmarks import Benchmark, Split
from merging.configs import read_json
from merging.elements import torch_dtype
from merging.engines import EngineName, TokenModel
from merging.engines.transformers import TransformersEngine
from merging.engines.vllm import VllmEngine, check_usable
from merging.errors import RecipeError
from merging.evaluation import Evaluation, Progress, Stage, evaluate, no_progress
from merging.exports import companions_digest, write_companions
from merging.folders import BuiltFile, complete_or_absent, with_sums
from merging.indexes import ParentFacts
from merging.memory import keep_freed_memory
from merging.path_shells import PathShell, all_blocks, can_be_followed, needed_blocks
from merging.plans import TensorJob, plan, stacked_layers
from merging.recipes import Parent, Recipe
from merging.shards import in_order, layout
from merging.shells import ModelShell, Stack, compute_dtype
from merging.shelves import ParentShelf, room_beside_vllm
from merging.streaming import best_device, write_model
from merging.threads import threads_for
from merging.token_rows import result_vocabulary
from merging.vocabularies import read_vocabulary


@dataclass(frozen=True)
class _Seat:
    """A shell with its engine; vLLM is both. `key` is everything that they depend on, but for tensors and a path's layers: files
    of the donor and the dtype.

    `leave` gives back what would otherwise stay.
    """

    key: str
    shell: ModelShell | VllmEngine
    engine: TokenModel
    n_parameters: int
    leave: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _PathSeat:
    """As `_Seat`, of layers that stay while paths through them come and go."""

    key: str
    shell: PathShell
    engine: TransformersEngine

    def leave(self) -> None:
        """Nothing is left to give back."""


class Workbench:
    """Scores and builds recipes on one device, one at a time, from one thread.

    `device` is a torch device such as "cpu" or "cuda:0"; None takes a GPU if there is one. Parents' tensors stay in
    memory up to `parent_bytes`, by default a quarter of the machine's memory, or what the GPU has left beside a model (a
    quarter of it beside vLLM); a candidate then reads no file. For paths all layers of their parents stay in the model
    instead, if those that one model has not fit into `parent_bytes`; otherwise a path has its own layers, and the next
    one that needs others reads them. After an exception, also one that `progress` raises, the
    bench can be used again.

    EvaluationError, with what to do, where the engine is vLLM and cannot run.
    """

    def __init__(
        self, device: str | None = None, parent_bytes: int | None = None, engine: EngineName = "transformers"
    ) -> None:
        keep_freed_memory()
        self.device = torch.device(device or best_device())
        if engine == "vllm":
            check_usable(self.device)
            parent_bytes = room_beside_vllm(self.device) if parent_bytes is None else parent_bytes
        self._engine = engine
        self._shelf = ParentShelf(self.device, parent_bytes)
        self._seat: _Seat | _PathSeat | None = None
        self._in_place: str | None = None
        self._batch_shares: dict[str, float] = {}  # by key of a seat, of those that asked too much at once

    def evaluate(
        self,
        recipe: Recipe,
        benchmark: Benchmark,
        split: Split,
        n: int | None = None,
        progress: Progress = no_progress,
    ) -> Evaluation:
        """The score of the merged model on the first n samples of a split, all for None."""
        return evaluate(self.model(recipe, progress), benchmark, split, n, progress)

    def model(self, recipe: Recipe, progress: Progress = no_progress) -> TokenModel:
        """The merged model, until the next call. A recipe that is in place already is not merged again.

        RecipeError for a path with other tokens than its first parent's; where the engine is vLLM, for every path and for
        whatever has other layers or tokens than its donor.
        """
        digest = recipe.digest()
        if self._seat is None or self._in_place != digest:
            seat = self._followed(recipe, progress) if can_be_followed(recipe) else self._filled(recipe, progress)
            self._seat, self._in_place = seat, digest
        return self._seat.engine

    def _filled(self, recipe: Recipe, progress: Progress) -> _Seat:
        """A seat whose shell holds the merged tensors."""
        progress("load", 0, 1)
        facts = self._shelf.open(recipe)
        jobs = in_order(recipe, plan(recipe, facts))
        progress("load", 1, 1)
        self._in_place = None  # from here on the shell is partly filled, unless all goes well
        self._seat = seat = self._seat_for(recipe, jobs, facts)
        place = Place(seat.shell.targets, self._shelf.spectra)
        tensors = assemble(recipe, jobs, self._shelf, place)
        with threads_for(seat.n_parameters):
            seat.shell.load(_counted(tensors, "merge", len(jobs), progress))
        return seat

    def _followed(self, recipe: Recipe, progress: Progress) -> _PathSeat:
        """A seat whose model follows the path, over layers that are there already if they can be."""
        if self._engine == "vllm":
            raise RecipeError("vLLM cannot follow a path of layers: score it with the transformers engine, or build it")
        progress("load", 0, 1)
        facts = self._shelf.open(recipe, self._seat.shell.parents if isinstance(self._seat, _PathSeat) else ())
        _check_scales(recipe, facts)
        progress("load", 1, 1)
        key = self._path_key(recipe)
        seat = self._seat_with_layers(recipe, key) or self._path_seat(recipe, key, facts, progress)
        self._in_place = None  # from here on the model is another one
        seat.engine.layers_changed(seat.shell.follow(recipe))
        return seat

    def build(
        self,
        recipe: Recipe,
        folder: Path,
        extra_files: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
    ) -> list[BuiltFile]:
        """Writes the merged model as an ordinary Hugging Face folder, complete or not at all, with the SHA-256 of each file in
        `SHA256SUMS`, and says what is in it.

        `extra_files` are texts by name, such as the model card. MergingError when `folder` exists.
        """
        with complete_or_absent(folder) as partial:
            progress("load", 0, 1)
            facts = self._shelf.open(recipe)
            progress("load", 1, 1)
            write_companions(recipe, partial, extra_files or {})
            jobs = in_order(recipe, plan(recipe, facts))
            hashes: dict[str, str] = {}
            write_model(
                assemble(recipe, jobs, self._shelf),
                layout(jobs, facts, recipe.dtype),
                partial,
                lambda done: progress("write", done.n_tensors, done.of_tensors),
                hashes=hashes,
            )
            return with_sums(partial, hashes)

    def close(self) -> None:
        """Gives all memory back. The bench can be used again."""
        self._shelf.close()
        self._stand_up()

    def ask_less(self) -> None:
        """After out of memory: gives all memory back, and halves the engine's batch if a model was in place to be asked.

        It stays halved for every model of the same kind, and so for the rest of a run.
        """
        if self._seat is not None and self._in_place is not None:
            self._batch_shares[self._seat.key] = self._batch_share(self._seat.key) / 2
        self.close()

    def _seat_for(self, recipe: Recipe, jobs: Sequence[TensorJob], facts: Mapping[Parent, ParentFacts]) -> _Seat:
        """The seat there is, or a new one for another dtype, or for other files, tokens or layers than it was made for."""
        donor, dtype = Path(recipe.donor.folder), self._compute_dtype(recipe)
        is_reshaped = recipe.is_stack or _has_other_tokens(recipe, facts)
        made_of = _made_of(recipe) if is_reshaped or recipe.companions.chat_template else None
        key = plain.digest([str(dtype), companions_digest(donor), made_of])
        if isinstance(self._seat, _Seat) and self._seat.key == key:
            return self._seat
        self._stand_up()  # two models at once may not fit
        if self._engine == "vllm":
            if made_of is not None:
                raise RecipeError(
                    f"the result has other layers, tokens or prompts than {recipe.donor.name}, which vLLM starts from: score it "
                    "with the transformers engine, or build it"
                )
            engine = VllmEngine(donor, dtype, _tokenizer(donor), self._batch_share(key))
            return _Seat(key, engine, engine, engine.n_parameters, engine.close)
        with _companions(recipe, made_of is not None) as folder:
            shapes = {tensor.name: tensor.shape for tensor in layout(jobs, facts, recipe.dtype)}
            stack = Stack(read_json(folder / "config.json"), shapes) if is_reshaped else None
            shell = ModelShell(donor, self.device, dtype, stack)
            asked = TransformersEngine(shell.model, _tokenizer(folder), batch_share=self._batch_share(key))
        return _Seat(key, shell, asked, shell.model.num_parameters())

    def _batch_share(self, key: str) -> float:
        return self._batch_shares.get(key, 1.0)

    def _path_key(self, recipe: Recipe) -> str:
        ends = [recipe.parents_in(group)[0].fingerprint for group in (0, len(recipe.groups) - 1)]
        rounding = [str(self._compute_dtype(recipe)), recipe.dtype, recipe.as_mergekit]
        return plain.digest([rounding, ends, companions_digest(Path(recipe.donor.folder)), asdict(recipe.companions)])

    def _seat_with_layers(self, recipe: Recipe, key: str) -> _PathSeat | None:
        """The seat there is, if all of the path's layers are in it."""
        seat = self._seat
        return seat if isinstance(seat, _PathSeat) and seat.key == key and seat.shell.holds(recipe) else None

    def _path_seat(
        self, recipe: Recipe, key: str, facts: Mapping[Parent, ParentFacts], progress: Progress
    ) -> _PathSeat:
        """A new seat with all layers of the parents, or, where these have no room, with those of the path."""
        plan(recipe, facts)
        _check_tokens(recipe, facts)
        dtype = self._compute_dtype(recipe)
        blocks = all_blocks(recipe, facts)
        jobs = plan(blocks, facts)
        n_beside = (
            sum(prod(tensor.shape) for tensor in layout(jobs, facts, blocks.dtype)) - facts[recipe.donor].n_parameters
        )
        if n_beside * dtype.itemsize > self._shelf.max_bytes:
            blocks = needed_blocks(recipe)
            jobs = plan(blocks, facts)
        self._stand_up()  # two models at once may not fit, nor one beside what the shelf keeps
        with self._shelf.keeping_nothing():
            shell = PathShell(blocks, jobs, facts, self.device, dtype)
            share = self._batch_share(key)
            with _companions(recipe, recipe.companions.chat_template != "") as folder:
                engine = TransformersEngine(shell.model, _tokenizer(folder), batch_share=share)
            seat = _PathSeat(key, shell, engine)
            tensors = assemble(blocks, in_order(blocks, jobs), self._shelf, Place(shell.targets))
            with threads_for(shell.model.num_parameters()):
                shell.load(_counted(tensors, "merge", len(jobs), progress))
        self._seat = seat
        return seat

    def _compute_dtype(self, recipe: Recipe) -> torch.dtype:
        return compute_dtype(self.device, torch_dtype(recipe.dtype))

    def _stand_up(self) -> None:
        seat, self._seat, self._in_place = self._seat, None, None
        if seat is not None:
            seat.leave()


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return found


@contextmanager
def _companions(recipe: Recipe, are_own: bool) -> Iterator[Path]:
    """A folder with what goes with the tensors, for as long as it is read: the donor's, or, where the result has its own, one made of
    just these files.
    """
    if not are_own:
        yield Path(recipe.donor.folder)
        return
    with TemporaryDirectory(prefix="progeny-") as made:
        write_companions(recipe, Path(made), {})
        yield Path(made)


def _made_of(recipe: Recipe) -> list[object]:
    """All that configuration and tokenizer of a result depend on that are not its donor's."""
    layers = [[model.fingerprint, layer] for model, layer in stacked_layers(recipe)] if recipe.is_stack else []
    return [asdict(recipe.companions), [companions_digest(Path(model.folder)) for model in recipe.models], layers]


def _check_tokens(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> None:
    if _has_other_tokens(recipe, facts):
        raise RecipeError(
            f"a path has the tokens of its first parent, {recipe.donor.name}, and this recipe asks for others: choose its "
            "tokenizer, or build the path and score the folder"
        )


def _check_scales(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> None:
    """RecipeError for scales that could be followed here but not be built."""
    donor = facts[recipe.donor]
    Absorption(recipe, donor.config.family, donor.tied_embeddings)


def _has_other_tokens(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> bool:
    donor, found = facts[recipe.donor], result_vocabulary(recipe, facts)
    return found is not None and (
        found.rows.n_rows != donor.vocab_size or found.vocabulary.numbers != read_vocabulary(donor.folder).numbers
    )


def _counted(tensors: Iterator[NamedTensor], stage: Stage, n: int, progress: Progress) -> Iterator[NamedTensor]:
    for done, tensor in enumerate(tensors, start=1):
        yield tensor
        progress(stage, done, n)
