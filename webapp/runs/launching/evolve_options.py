"""What `./progeny evolve` can be told: its options, and the preset that they make. Starts nothing and knows no rows."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django.core.management.base import CommandError

from merging.benchmarks import scorers
from merging.fidelity import fidelities
from merging.methods import methods
from merging.path_genomes import SCALES
from merging.recipes import TOKENIZERS
from merging.search import searches
from webapp.runs.launching.drafts import PARTS
from webapp.runs.launching.presets import OWN, PRESETS, SPACES, Measure, PathPreset, Preset, Spaces, preset

OF_NUMBERS: Final = ("base", "tokenizer", "method", "groups", "filters", "search", "budget")
OF_PATH: Final = (
    "path_model_b", "path_repeats", "path_max_hops", "path_scales", "path_p_others", "path_search", "path_population", "path_budget",
)  # fmt: skip


def add_options(parser: ArgumentParser) -> None:
    """All of them; none is required."""
    parser.add_argument("--preset", choices=sorted(set(PRESETS) - {OWN.name}), help="a run that is filled in already")
    parser.add_argument("--parents", help="names in the library or folders, separated by commas")
    parser.add_argument("--base", help="base model: a name or a folder")
    parser.add_argument(
        "--tokenizer",
        choices=TOKENIZERS,
        help="whose the result has where vocabularies differ; by default all have the same",
    )
    parser.add_argument(
        "--benchmark", help="names in the library, or files of questions (JSONL or CSV), separated by commas"
    )
    parser.add_argument("--weights", help="how much each benchmark counts, such as 2,1; the same by default")
    parser.add_argument(
        "--scorer", choices=scorers.names(), default="last_number", help="how a file's answers are judged"
    )
    parser.add_argument("--method", choices=methods.names())
    parser.add_argument(
        "--groups", help="model, block, a number of layer groups, or 'gradient 3' for values at 3 depths"
    )
    parser.add_argument(
        "--filters", help=f"parts of tensors' names that get groups of their own, such as self_attn,mlp; or {PARTS}"
    )
    parser.add_argument("--search", choices=searches.names())
    parser.add_argument("--budget", type=int, help="candidates to score on the search questions")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--questions", type=int, help="search questions per candidate and benchmark; all of the split by default"
    )
    parser.add_argument(
        "--fidelity", choices=fidelities.names(), help="how much of the search questions a candidate is asked"
    )
    parser.add_argument(
        "--steady",
        action="store_true",
        default=None,
        help="open a generation before the last candidates of the one before are scored: for several workers",
    )
    parser.add_argument("--finalists", type=int, help="how many of the best take the final exam")
    parser.add_argument(
        "--on-public-test-set",
        action="store_true",
        help="search on a public test set all the same; kept with the run",
    )
    parser.add_argument(
        "--random-search", action="store_true", help="launch a random search with the same budget beside it"
    )
    parser.add_argument(
        "--space",
        choices=SPACES,
        help="what evolves: the numbers of a merge method, the path through the layers of --parents A,B or of A alone, "
        "or both, one after the other: then the winner over numbers is model A of a second run",
    )
    parser.add_argument("--path-model-b", help="with --space both, model B of the second run: a name or a folder")
    parser.add_argument("--path-repeats", type=int, help="how often the list of all layers comes")
    parser.add_argument("--path-max-hops", type=int, help="layers that a path has at most")
    parser.add_argument("--path-scales", choices=SCALES, help="how the scales between layers are found")
    parser.add_argument(
        "--path-p-others",
        type=float,
        help="chance of layers outside A's own path to be on at the start; the paper's is 0.5",
    )
    parser.add_argument("--path-search", choices=searches.names())
    parser.add_argument("--path-population", type=int, help="paths per generation")
    parser.add_argument("--path-budget", type=int, help="paths to score on the search questions")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a leaderboard")


def preset_of(options: Mapping[str, Any]) -> Preset:
    """The preset with whatever was given on the command line in its place."""
    start = preset(options["preset"]) if options["preset"] else OWN
    space: Spaces = options["space"] or start.space
    _check_space(space, options)
    names = ("base", "tokenizer", "method", "groups", "filters", "search", "budget", "seed", "fidelity", "steady")
    given = {name: options[name] for name in names}
    given["parents"] = tuple(options["parents"].split(",")) if options["parents"] else None
    given["settings"] = () if options["method"] else None  # those of the preset's are of its method
    given["n_finalists"] = options["finalists"]
    given["measures"] = _measures(start, options)
    given["path"] = _path(start.path, given["parents"] if space == "path" else None, options)
    chosen = replace(start, space=space, **{name: value for name, value in given.items() if value is not None})
    parents = chosen.path.model_a if space == "path" else chosen.parents
    if not parents or not chosen.measures:
        raise CommandError("a run needs --parents and --benchmark, or a --preset that has them: " + ", ".join(PRESETS))
    return chosen


def _check_space(space: Spaces, options: Mapping[str, Any]) -> None:
    """Nothing is given that the space takes no notice of."""
    wrong, belong, expected = {
        "numbers": (OF_PATH, "paths", "--space path or both"),
        "path": (
            (*OF_NUMBERS, "path_model_b"),
            "numbers",
            "--parents A,B and options that begin with --path, or --space both",
        ),
        "both": ((), "", ""),
    }[space]
    if given := [f"--{name.replace('_', '-')}" for name in wrong if options[name] is not None]:
        raise CommandError(f"{', '.join(given)} belongs to a run over {belong}: expected {expected}")


def _path(start: PathPreset, parents: tuple[str, ...] | None, options: Mapping[str, Any]) -> PathPreset:
    if parents and len(parents) > 2:
        raise CommandError(f"--parents names {len(parents)} models; a path leads through A and B, or A alone")
    given = {name.removeprefix("path_"): options[name] for name in OF_PATH}
    given["population_size"] = given.pop("population")
    models: dict[str, Any] = dict(zip(("model_a", "model_b"), (*parents, None), strict=False)) if parents else {}
    return replace(start, **{name: value for name, value in given.items() if value is not None}, **models)


def _measures(start: Preset, options: Mapping[str, Any]) -> tuple[Measure, ...]:
    """The preset's benchmarks, or those that were named, with the weights and the number of questions that were given."""
    names = options["benchmark"].split(",") if options["benchmark"] else []
    found = tuple(Measure(name) for name in names) or start.measures
    weights = options["weights"].split(",") if options["weights"] else [measure.weight for measure in found]
    try:
        weighted = [replace(measure, weight=float(w)) for measure, w in zip(found, weights, strict=True)]
    except ValueError as error:
        raise CommandError(
            f"--weights is {options['weights']!r}; expected {len(found)} numbers, one for each benchmark, separated by commas"
        ) from error
    n = options["questions"]
    return tuple(replace(measure, n_search=n) if n is not None else measure for measure in weighted)
