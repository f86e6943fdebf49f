"""`python -m merging RECIPE OUT`: builds one recipe into a new folder. Needs no web app, no database and no queue.

The recipe is mergekit's YAML, or the JSON of `Recipe.to_json` or of a finished model. Imports numba only when tensors
are merged, and torch only for what no kernel merges: until then, and while these load, threads hash the parents' files.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from merging import plain
from merging.errors import MergingError, ParentError, RecipeError
from merging.exports import write_companions
from merging.fingerprints import UNREAD, Fingerprints
from merging.fit import check_recipe_fit
from merging.folders import abandoned, complete_or_absent
from merging.indexes import parent_facts
from merging.mergekit import from_yaml
from merging.plans import plan
from merging.recipes import Parent, Recipe
from merging.shards import in_order

if TYPE_CHECKING:
    from merging.streaming import Written

DESCRIPTION: Final = (
    "Build one recipe, given as mergekit YAML or as Progeny's JSON, into an ordinary Hugging Face folder."
)

FolderOf = Callable[[str], Path]
"""The absolute folder of a model as a recipe names it; ParentError when there is none."""


def main(arguments: list[str], folder_of: FolderOf | None = None) -> int:
    """Build it; 0 when the folder is complete, 1 with one line on standard error when nothing was built.

    `folder_of` finds models that are named otherwise than by their folder.
    """
    parser = ArgumentParser(prog="progeny merge", description=DESCRIPTION)
    add_arguments(parser)
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))  # what is half written is removed in either case
    try:
        print(merge(given.recipe, given.out, given.seed, folder_of or folder_here))
    except (MergingError, OSError) as error:
        print(f"progeny: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("progeny: stopped; nothing was built", file=sys.stderr)
        return 130
    return 0


def add_arguments(parser: ArgumentParser) -> None:
    """What `merge` is told in a terminal."""
    parser.add_argument("recipe", type=Path, help="mergekit YAML, or the recipe.json of a finished model")
    parser.add_argument("out", type=Path, help="the folder to make; it must not exist")
    parser.add_argument(
        "--seed", type=int, default=0, help="for what a method draws at random; YAML does not say it (0)"
    )


def merge(path: Path, out: Path, seed: int, folder_of: FolderOf) -> str:
    """Builds the recipe in a file and says what came of it; MergingError or OSError when nothing was built."""
    with Fingerprints() as fingerprints:
        recipe = read_recipe(path, folder_of, seed)
        for model in recipe.models:
            fingerprints.start(model)
        built = _build(recipe, out.absolute(), fingerprints)
    sizes = [file.stat().st_size for file in out.iterdir()]
    told = f"{out}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB. {built.sentence()}"
    if left := abandoned(out.absolute().parent):
        told += f"\nA merge that was killed left {', '.join(map(str, left))}: nobody needs it any more."
    return told


def folder_here(name: str) -> Path:
    """The folder of that name; ParentError when there is none."""
    if not Path(name).is_dir():
        raise ParentError(f"there is no folder {name!r}; expected the folder of a model")
    return Path(name).absolute()


def read_recipe(path: Path, folder_of: FolderOf, seed: int = 0) -> Recipe:
    """The recipe in a file; parents have no fingerprint yet unless the file knows it.

    RecipeError or ParentError names what is wrong.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is no text in UTF-8: {error}") from error
    if path.suffix != ".json":
        return from_yaml(text, lambda name: Parent(name, str(folder_of(name)), UNREAD), seed)
    try:
        value = plain.mapping(json.loads(text, object_pairs_hook=plain.unique_keys), str(path), RecipeError)
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is not JSON: {error}") from error
    return Recipe.from_json(_with_folders(value, folder_of))


def _build(recipe: Recipe, out: Path, fingerprints: Fingerprints) -> Recipe:
    """Writes the merged model and returns its recipe with all fingerprints, which are known only then."""
    check_recipe_fit(recipe)
    facts = {model: parent_facts(model.folder) for model in recipe.models}
    jobs = in_order(recipe, plan(recipe, facts))
    with complete_or_absent(out) as partial, _shown() as heard:
        # Torch's threads would otherwise spin between its operations, on cores that hash, merge and write meanwhile: mergekit's
        # slerp of 125 M parameters took 12.3 s on two busy cores with it, 3.3 s without.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        with _kept_for_good():
            from merging import streaming  # numba takes a third of a second
        streaming.merge_files(recipe, jobs, facts, partial, heard)
        complete = fingerprints.completed(recipe)
        write_companions(complete, partial, {})
    return complete


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """What is made here is never garbage. To look through a million objects of imports, again and again, takes half a second."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


@contextmanager
def _shown() -> Iterator[Callable[[Written], None]]:
    """A line on standard error with tensors, bytes and the time left, where a person may see it."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    tensors = TextColumn("{task.fields[n_tensors]} of {task.fields[of_tensors]} tensors")
    columns = (TextColumn("{task.description}"), BarColumn(), tensors, DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("merge", total=None, n_tensors="-", of_tensors="-")

        def heard(done: Written) -> None:
            progress.update(
                task, completed=done.n_bytes, total=done.of_bytes, n_tensors=done.n_tensors, of_tensors=done.of_tensors
            )

        yield heard


def _with_folders(value: Mapping[str, object], folder_of: FolderOf) -> dict[str, object]:
    """A recipe as JSON: models of a finished model's recipe have no folder, and the recipe has its digest beside it."""
    recipe = {name: item for name, item in value.items() if name != "digest"}
    if isinstance(found := recipe.get("parents"), list):
        recipe["parents"] = [_with_folder(model, folder_of) for model in found]
    return recipe | {"base": _with_folder(recipe.get("base"), folder_of)}


def _with_folder(model: object, folder_of: FolderOf) -> object:
    if isinstance(model, Mapping) and "folder" not in model and isinstance(name := model.get("name"), str):
        return {**model, "folder": str(folder_of(name))}
    return model


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
