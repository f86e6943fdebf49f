"""One device's bench: parents, a model shell and an engine that stay in place from candidate to candidate. Imports torch.

Knows nothing of runs, rows or queues: whoever has a recipe can have it scored or built here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoTokenizer

from merging import plain
from merging.assembly import NamedTensor, Place, assemble
from merging.benchmarks import Benchmark, Split
from merging.engines import EngineName, TokenModel
from merging.engines.transformers import TransformersEngine
from merging.engines.vllm import VllmEngine, check_usable
from merging.errors import RecipeError
from merging.evaluation import Evaluation, Progress, Stage, evaluate, no_progress
from merging.exports import companions_digest, write_companions
from merging.folders import BuiltFile, built_files, complete_or_absent
from merging.indexes import ParentFacts
from merging.memory import keep_freed_memory
from merging.plans import plan
from merging.recipes import Parent, Recipe
from merging.shards import in_order, layout
from merging.shells import ModelShell, compute_dtype
from merging.shelves import ParentShelf, room_beside_vllm
from merging.streaming import write_model
from merging.tensors import torch_dtype
from merging.threads import threads_for
from merging.token_rows import result_vocabulary
from merging.vocabularies import read_vocabulary


@dataclass(frozen=True)
class _Seat:
    """A shell with its engine; vLLM is both. `key` is everything but tensors that they depend on: files of the donor and the dtype.

    `leave` gives back what would otherwise stay.
    """

    key: str
    shell: ModelShell | VllmEngine
    engine: TokenModel
    n_parameters: int
    leave: Callable[[], None] = lambda: None


class Workbench:
    """Scores and builds recipes on one device, one at a time, from one thread.

    `device` is a torch device such as "cpu" or "cuda:0"; None takes a GPU if there is one. Parents' tensors stay in
    memory up to `parent_bytes`, by default a quarter of the machine's memory, or what the GPU has left beside a model (a
    quarter of it beside vLLM); a candidate then reads no file. After an exception, also one that `progress` raises, the
    bench can be used again.

    EvaluationError, with what to do, where the engine is vLLM and cannot run.
    """

    def __init__(
        self, device: str | None = None, parent_bytes: int | None = None, engine: EngineName = "transformers"
    ) -> None:
        keep_freed_memory()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if engine == "vllm":
            check_usable(self.device)
            parent_bytes = room_beside_vllm(self.device) if parent_bytes is None else parent_bytes
        self._engine = engine
        self._shelf = ParentShelf(self.device, parent_bytes)
        self._seat: _Seat | None = None
        self._in_place: str | None = None

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
        """The merged model, until the next call. A recipe that is in place already is not merged again."""
        digest = recipe.digest()
        if self._seat is None or self._in_place != digest:
            progress("load", 0, 1)
            facts = self._shelf.open(recipe)
            jobs = in_order(recipe, plan(recipe, facts))
            _check_scorable(recipe, facts)
            progress("load", 1, 1)
            self._in_place = None  # from here on the shell is partly filled, unless all goes well
            self._seat = self._seat_for(recipe)
            place = Place(self._seat.shell.targets, self._shelf.spectra)
            tensors = assemble(recipe, jobs, self._shelf, place)
            with threads_for(self._seat.n_parameters):
                self._seat.shell.load(_counted(tensors, "merge", len(jobs), progress))
            self._in_place = digest
        return self._seat.engine

    def build(
        self,
        recipe: Recipe,
        folder: Path,
        extra_files: Mapping[str, str] | None = None,
        progress: Progress = no_progress,
    ) -> list[BuiltFile]:
        """Writes the merged model as an ordinary Hugging Face folder, complete or not at all, and says what is in it.

        `extra_files` are texts by name, such as the model card. MergingError when `folder` exists.
        """
        with complete_or_absent(folder) as partial:
            progress("load", 0, 1)
            facts = self._shelf.open(recipe)
            progress("load", 1, 1)
            write_companions(recipe, partial, extra_files or {})
            jobs = in_order(recipe, plan(recipe, facts))
            tensors = assemble(recipe, jobs, self._shelf)
            write_model(
                tensors,
                layout(jobs, facts, recipe.dtype),
                partial,
                lambda done: progress("write", done.n_tensors, done.of_tensors),
            )
        return built_files(folder)

    def close(self) -> None:
        """Gives all memory back. The bench can be used again."""
        self._shelf.close()
        self._stand_up()

    def _seat_for(self, recipe: Recipe) -> _Seat:
        """The seat there is, or a new one for a donor with other files or another dtype."""
        donor = Path(recipe.donor.folder)
        dtype = compute_dtype(self.device, torch_dtype(recipe.dtype))
        key = plain.digest([str(dtype), companions_digest(donor)])
        if self._seat is not None and self._seat.key == key:
            return self._seat
        self._stand_up()  # two models at once may not fit
        tokenizer = AutoTokenizer.from_pretrained(donor, local_files_only=True, trust_remote_code=False)
        if self._engine == "vllm":
            engine = VllmEngine(donor, dtype, tokenizer)
            return _Seat(key, engine, engine, engine.n_parameters, engine.close)
        shell = ModelShell(donor, self.device, dtype)
        return _Seat(key, shell, TransformersEngine(shell.model, tokenizer), shell.model.num_parameters())

    def _stand_up(self) -> None:
        seat, self._seat, self._in_place = self._seat, None, None
        if seat is not None:
            seat.leave()


def _check_scorable(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> None:
    """RecipeError unless the result has the layers and the tokens of its donor, which is what models are scored in."""
    if recipe.is_stack or _has_other_tokens(recipe, facts):
        raise RecipeError(
            f"the result has other {'layers' if recipe.is_stack else 'tokens'} than {recipe.donor.name}: it can be built "
            "but not scored; build it, and score the folder as a model of its own"
        )


def _has_other_tokens(recipe: Recipe, facts: Mapping[Parent, ParentFacts]) -> bool:
    donor, found = facts[recipe.donor], result_vocabulary(recipe, facts)
    return found is not None and (
        found.rows.n_rows != donor.vocab_size or found.vocabulary.numbers != read_vocabulary(donor.folder).numbers
    )


def _counted(tensors: Iterator[NamedTensor], stage: Stage, n: int, progress: Progress) -> Iterator[NamedTensor]:
    for done, tensor in enumerate(tensors, start=1):
        yield tensor
        progress(stage, done, n)
