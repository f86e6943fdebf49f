"""The model card of an export: where the model comes from, how it was found, what it scored, and what that does not show. Reads rows only.

Written for strangers who meet the model on the Hub: parents go by their names, never by this server's folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from merging.cards import CARD
from merging.errors import MergingError, RecipeError
from merging.fidelity import fidelities
from merging.hops import LayerPath
from merging.mergekit import to_yaml
from merging.methods import methods
from merging.objectives import shares
from merging.recipes import Parent, Recipe
from merging.search import searches
from merging.words import joined
from webapp.exports.asking import HEADING, how_to_ask
from webapp.exports.licensing import OTHER, decision, licences_of, stated
from webapp.exports.models import Export, LicenceDecision
from webapp.lineage.queries import ancestors, ancestry
from webapp.runs import winners
from webapp.runs.board.standing import SPLITS, by_split
from webapp.runs.config import RunConfig
from webapp.runs.metrics import Metrics
from webapp.runs.models import REFERENCES, Candidate, Evaluation, Run, Score, SplitName
from webapp.system.status import code_version

TAGS: Final = ("mergekit", "merge", "progeny")
HELD_OUT: Final[tuple[SplitName, ...]] = ("validation", "final")

LIMITS: Final = (
    "Its scores are those of the benchmarks above, asked and judged in one way. They say nothing about other tasks, languages or safety.",
    "Differences smaller than the intervals may be luck.",
    "Whatever its parents may not be used for, it may not be used for.",
)
NO_ADVICE: Final = "This is no legal advice."
ABSORBED: Final = (
    "What enters a layer was multiplied by its scale during the search; the scales are part of this model's tensors."
)
BRED: Final = "Bred on the same server before, each from its own recipe; what they were made from in the end is named above as base models."
REBUILT: Final = "`recipe.json` rebuilds exactly this model with Progeny."
FOR_MERGEKIT: Final = "For mergekit, with the parents by name; where a method drops changes at random, mergekit draws them in its own way:"


def model_card(export: Export) -> str:
    """README.md with YAML front matter, in the conventions of the Hugging Face Hub."""
    candidate = Candidate.objects.select_related("run__owner", "generation").get(pk=export.candidate_id)
    recipe = Recipe.from_json(candidate.recipe)
    config = RunConfig.from_json(candidate.run.config)
    models = _models(recipe)
    bred = ancestry(models, candidate.run.owner)
    older = ancestors(models, bred)
    licences, words = licences_of([*models, *older]), stated([*models, *older])
    decided = decision(candidate)
    sections = [
        _front_matter(export, older, licences, config, decided),
        f"# {_line(candidate.run.name)}: {_line(candidate.name)}",
        f"A merge of {joined([parent.name for parent in recipe.parents])}, made with Progeny. {recipe.sentence()}",
        f"## {HEADING}\n\n{how_to_ask((one.spec for one in config.objectives), export.kind == 'gguf')}",
        f"## Parents\n\n{_parents(recipe, words)}",
        *([f"## Lineage\n\n{_lineage(bred)}"] if bred else []),
        *([f"## Path\n\n{_path(recipe, recipe.path)}"] if recipe.path else []),
        f"## Scores\n\n{_scores(candidate, config)}",
        f"## Licence\n\n{_licence(older, words, decided)}",
        f"## How it was found\n\n{_search(candidate, config)}",
        f"## Recipe\n\n{REBUILT} {_for_mergekit(recipe)}",
        f"## What this does not show\n\n{_limits(candidate)}",
        f"## Versions\n\n{_versions(candidate.run)}",
    ]
    return "\n\n".join(sections) + "\n"


def _path(recipe: Recipe, path: LayerPath) -> str:
    """Where every layer comes from, in order of data flow."""
    names = [parent.name for parent in recipe.parents]
    absorbed = f" {ABSORBED}" if recipe.scales else ""
    about = (
        f"An ordinary model of {path.n_hops} layers, which any library loads. Embeddings, final norm, head, tokenizer and "
        f"configuration are those of {_line(names[0])}.{absorbed}"
    )
    rows, start = [], 0
    for one in path.stretches:
        scales = path.scales[start : start + one.n_layers]
        here, there = (_span(first, one.n_layers) for first in (start, one.start))
        rows.append((here, names[one.parent], there, ", ".join(f"{scale:.3g}" for scale in scales)))
        start += one.n_layers
    return f"{about}\n\n{_table(('Layers', 'Of', 'Layers there', 'Scales'), rows)}"


def _span(start: int, n: int) -> str:
    return str(start) if n == 1 else f"{start}-{start + n - 1}"


def _for_mergekit(recipe: Recipe) -> str:
    try:
        return f"{FOR_MERGEKIT}\n\n```yaml\n{to_yaml(recipe, call=_name)}```"
    except RecipeError as error:
        return f"mergekit cannot: {error}."


def _models(recipe: Recipe) -> list[Parent]:
    return [*recipe.parents, *([recipe.base] if recipe.base else [])]


def _name(parent: Parent) -> str:
    return parent.name


def _front_matter(
    export: Export,
    models: Sequence[Parent],
    licences: Mapping[str, str],
    config: RunConfig,
    decided: LicenceDecision | None,
) -> str:
    facts: dict[str, Any] = {
        "base_model": [model.name for model in models],
        "base_model_relation": "merge",
        "library_name": "gguf" if export.kind == "gguf" else "transformers",
        "pipeline_tag": "text-generation",
        "tags": list(TAGS),
        **_licence_facts(models, licences, decided),
    }
    if languages := _languages(config):
        facts["language"] = languages
    if results := _results(export.candidate):
        facts["model-index"] = [{"name": _line(export.candidate.name), "results": results}]
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---"


def _licence_facts(
    models: Sequence[Parent], licences: Mapping[str, str], decided: LicenceDecision | None
) -> dict[str, str]:
    """What a person decided; before that, what all models share, if they do."""
    if decided is None:
        known = {licences.get(model.fingerprint, OTHER) for model in models}
        licence = known.pop() if len(known) == 1 else OTHER
        return {"license": licence, **({"license_name": "see-parents"} if licence == OTHER else {})}
    more = {"license_name": decided.name, "license_link": decided.link}
    return {"license": decided.licence, **{name: value for name, value in more.items() if value}}


def lacks_decision(export: Export, decided: LicenceDecision | None) -> bool:
    """Whether a built model has a card of before this decision. Not where no card can be read."""
    if decided is None or not export.form.is_model or export.status != "done":
        return False
    try:
        return _decided(decided) not in (export.folder / CARD).read_text("utf-8", errors="replace")
    except OSError:
        return False


def _decided(decided: LicenceDecision) -> str:
    link = f", {decided.link}" if decided.link else ""
    return f"**{_line(str(decided))}**{link}. A person decided so on {decided.created:%Y-%m-%d}, knowing what is below."


def _licence(models: Sequence[Parent], words: Mapping[str, str], decided: LicenceDecision | None) -> str:
    """What the models that it was made from are under, and what a person made of that."""
    rows = [(model.name, words[model.fingerprint]) for model in models]
    nobody = "Nobody has decided yet under which licence this model may be passed on."
    said = nobody if decided is None else _decided(decided)
    return f"{said} {NO_ADVICE}\n\n{_table(('Made from', 'Licence'), rows)}"


def _results(candidate: Candidate) -> list[dict[str, Any]]:
    """Scores on questions that the search did not see and that did not choose the winner, with n and interval, as the Hub reads them."""
    splits = HELD_OUT[1:] if winners.by_validation(candidate.run) else HELD_OUT
    done = candidate.evaluations.filter(split__in=splits, status="done", is_estimate=False).prefetch_related("scores")
    return [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": _line(f"{score.benchmark}, {evaluation.split} split"), "type": _line(score.benchmark)},
            "metrics": [
                {
                    "type": _line(score.scorer),
                    "value": round(score.mean, 4),
                    "name": f"mean of n = {score.n}, 95 % interval {score.low:.3f} to {score.high:.3f}; other questions of this "
                    "benchmark were optimised on",
                }
            ],
        }
        for evaluation in done
        for score in evaluation.scores.all()
    ]


def _languages(config: RunConfig) -> list[str]:
    """The languages that the benchmarks ask answers to be in; of those only that care, and can still be read."""
    found: set[str] = set()
    for objective in config.objectives:
        try:
            samples = objective.spec.load().take("search")
        except MergingError:
            continue
        found |= {sample.language for sample in samples if sample.language}
    return sorted(found)


def _parents(recipe: Recipe, words: Mapping[str, str]) -> str:
    rows = [("parent", parent) for parent in recipe.parents] + ([("base model", recipe.base)] if recipe.base else [])
    cells = [(parent.name, role, words[parent.fingerprint], f"`{parent.fingerprint}`") for role, parent in rows]
    return _table(("Model", "Role", "Licence", "Fingerprint of its files"), cells)


def _lineage(bred: Sequence[tuple[Parent, Candidate]]) -> str:
    """How each parent that was bred before was made, and that its name leads nowhere but here."""
    lines = [
        f"- `{_line(model.name)}` is {_line(origin.name)} of the run {_line(origin.run.name)}: "
        f"{_line(Recipe.from_json(origin.recipe).sentence())} Its recipe is `{origin.recipe_digest}`."
        for model, origin in bred
    ]
    return BRED + "\n\n" + "\n".join(lines)


def _scores(candidate: Candidate, config: RunConfig) -> str:
    references = list(candidate.run.candidates.filter(kind__in=REFERENCES).exclude(pk=candidate.pk).order_by("index"))
    models = [candidate, *references]
    done = Evaluation.objects.filter(candidate__in=models, status="done").prefetch_related("scores")
    found = by_split(done)
    header, rows = _header(candidate.run), _rows(candidate, models, found)
    sections = [_stamp(config), _about(config, found.values()), _table(header, rows)]
    if len(config.objectives) > 1:
        for index, objective in enumerate(config.objectives):
            sections += [f"### {_line(objective.spec.name)}", _table(header, _rows(candidate, models, found, index))]
    sections += [_by_metric(candidate, config, found), _exam(candidate.run), _concerns(candidate, found)]
    return "\n\n".join(section for section in sections if section)


def _header(run: Run) -> tuple[str, ...]:
    validation = "Validation (chose the winner)" if winners.by_validation(run) else "Validation (held out)"
    return ("Model", "Search (optimised on this)", validation, "Final (held out, asked once)")


def _rows(
    candidate: Candidate,
    models: Sequence[Candidate],
    found: Mapping[tuple[int, str], Evaluation],
    index: int | None = None,
) -> list[list[str]]:
    """A line for each model: its scores together, or those on one benchmark."""
    return [
        [
            "**this model**" if model is candidate else f"{model.name} ({model.kind})",
            *(_score(_part(found.get((model.pk, split)), index)) for split in SPLITS),
        ]
        for model in models
    ]


def _part(evaluation: Evaluation | None, index: int | None) -> Evaluation | Score | None:
    if evaluation is None or index is None:
        return evaluation
    return next((score for score in evaluation.scores.all() if score.index == index), None)


def _by_metric(candidate: Candidate, config: RunConfig, found: Mapping[tuple[int, str], Evaluation]) -> str:
    """The same scores by the names that other reports give them."""
    metrics, lines, is_gated = Metrics(config), [], False
    for split in SPLITS:
        evaluation = found.get((candidate.pk, split))
        for score in evaluation.scores.all() if evaluation else ():
            guess = "≈ " if evaluation and evaluation.is_estimate else ""
            named = [f"`{name}` {guess}{share:.3f}" for name, share in metrics.of(score).items()]
            lines += [f"- {split}, {_line(score.benchmark)}: {', '.join(named)}"] if named else []
            is_gated = is_gated or score.in_language is not None
    about = " A metric whose name ends in a language counts only answers in it." if is_gated else ""
    return f"This model by metric.{about}\n\n" + "\n".join(lines) if lines else ""


def _about(config: RunConfig, scored: Iterable[Evaluation]) -> str:
    shares_of = zip(config.objectives, shares(config.weights), strict=True)
    named = [
        f"`{_line(o.spec.name)}`{f' ({share:.0%} of the mean)' if len(config.objectives) > 1 else ''}, `{o.spec.digest}`"
        for o, share in shares_of
    ]
    noun = "Benchmark" if len(named) == 1 else "Benchmarks"
    return f"{noun} {'; '.join(named)}; {_scorer(scored)}; mean [95 % interval]. An empty cell was not scored."


def _stamp(config: RunConfig) -> str:
    """What nobody may overlook: that the search saw a public test set."""
    if config.override is None:
        return ""
    return (
        f"> **Searched on a public test set**, allowed by {_line(config.override.by)} on {config.override.day}. These scores "
        "cannot be compared with those of other models on that test."
    )


def _exam(run: Run) -> str:
    if run.examined is None:
        return ""
    return f"The final questions were asked once, in an exam that ended on {run.examined:%Y-%m-%d %H:%M} UTC and is locked since."


def _concerns(candidate: Candidate, found: Mapping[tuple[int, str], Evaluation]) -> str:
    of = [found[candidate.pk, split] for split in SPLITS if (candidate.pk, split) in found]
    said = [f"{e.split}: {concern}" for e in of for score in e.scores.all() for concern in score.concerns]
    return f"Its answers cannot be trusted: {'; '.join(said)}." if said else ""


def _scorer(scored: Iterable[Evaluation]) -> str:
    names = sorted({f"`{score.scorer}`" for evaluation in scored for score in evaluation.scores.all()})
    return "scored by " + (", ".join(names) or "nothing yet")


def _score(evaluation: Evaluation | Score | None) -> str:
    if evaluation is None or evaluation.mean is None or evaluation.low is None or evaluation.high is None:
        return ""
    guess = "≈ " if isinstance(evaluation, Evaluation) and evaluation.is_estimate else ""
    return f"{guess}{evaluation.mean:.3f} [{evaluation.low:.3f}, {evaluation.high:.3f}], n = {evaluation.n}"


def _search(candidate: Candidate, config: RunConfig) -> str:
    run = candidate.run
    place = (
        f"number {candidate.index} of generation {candidate.generation.number}"
        if candidate.generation
        else candidate.kind
    )
    rows = [
        ("Method", f"{methods.get(config.method).title} ({methods.get(config.method).source})"),
        ("Search", f"{searches.get(config.search).title} ({searches.get(config.search).source})"),
        ("Optimised on", ", ".join(f"{objective.spec.name}, search split" for objective in config.objectives)),
        _what_was_searched(config),
        ("Settings", ", ".join(f"{name} {value}" for name, value in config.settings) or "the method's own"),
        ("Candidates scored", f"{_n_scored(run)} of a budget of {run.budget}"),
        ("This candidate", f"{place}, recipe `{candidate.recipe_digest}`"),
        ("Seed", str(run.seed)),
        ("Configuration", f"`{run.config_digest}`"),
    ]
    return "\n\n".join([_table(("", ""), rows), *_asked_less(run, config), _rule(run)])


def _what_was_searched(config: RunConfig) -> tuple[str, str]:
    if config.path is None:
        return "Layer groups", config.groups
    path, names = config.path, joined([parent.name for parent in config.parents])
    often = f"{path.repeats} times over, " if path.repeats > 1 else ""
    return "Paths", f"layers of {names}, {often}scales {path.scales}, at most {path.max_hops} hops"


def _asked_less(run: Run, config: RunConfig) -> list[str]:
    """What candidates were asked, where that was less than everything."""
    kind = fidelities.get(config.fidelity)
    if not run.evaluations.filter(is_estimate=True).exists():
        return []
    settings = ", ".join(f"{name} {value:g}" for name, value in config.fidelity_settings)
    named = f"{kind.title}{f' ({settings})' if settings else ''}"
    return [
        f"Not every candidate was asked all search samples. {named}: {kind.summary} Scores marked ≈ are estimates from the samples that "
        "were asked. The winner, the other finalists, the parents and the baselines were asked all."
    ]


def _rule(run: Run) -> str:
    if winners.by_validation(run):
        return "The run's winner is the best on the validation samples, of the best of every generation."
    return "The run's winner is the best of its finalists on the search samples."


def _limits(candidate: Candidate) -> str:
    by_validation = winners.by_validation(candidate.run)
    seen = (
        " and chose its winner on the validation split, so its scores there are"
        if by_validation
        else ", so its score there is"
    )
    fair = "The final split is the fair one." if by_validation else "The held-out splits are the fair ones."
    chosen = f"It is one of {_n_scored(candidate.run)} candidates of a search that saw the search split{seen} too optimistic. {fair}"
    return "\n".join(f"- {limit}" for limit in (*([chosen] if candidate.generation else []), *LIMITS))


def _n_scored(run: Run) -> int:
    return run.evaluations.filter(split="search", status="done", candidate__kind="evolved").count()


def _versions(run: Run) -> str:
    newest = run.generations.order_by("-number").first()
    found = {"progeny": code_version(), **(newest.environment if newest else {})}
    return "\n".join(f"- {_line(str(name))}: {_line(str(version))}" for name, version in found.items())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_line(cell) for cell in line)} |" for line in lines)


def _line(text: str) -> str:
    """Text that stays in its line and its cell."""
    return " ".join(text.split()).replace("|", "\\|")
