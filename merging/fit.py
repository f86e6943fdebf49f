"""Whether models can be merged with each other, found out from metadata alone: configurations, headers, tokenizers, cards.

No weight is read and nothing is loaded. Every finding says what was found, in which models, what is expected, and what
a person can do. An error bars the merge; a warning is a reason to think; an info is good to know. Knows no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

from merging.cards import read_card
from merging.configs import read_json
from merging.demo import NO_LICENCE, is_of_pack
from merging.errors import ParentError, RecipeError
from merging.families import families
from merging.indexes import ParentFacts, listed, parent_facts
from merging.layer_kinds import Layers, rotated_share
from merging.methods import methods
from merging.methods.method import Method
from merging.plans import SCALED_BY_NUMBER
from merging.recipes import Parent, Recipe, Tokenizer, check_parents
from merging.tokenizers import default_template
from merging.vocabularies import Vocabulary, read_vocabulary
from merging.words import counted, joined, size

T = TypeVar("T")
Level = Literal["error", "warning", "info"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
MAX_ROWS: Final = 60
"""Differing tensors that the table shows; the rest are counted."""
POSITIONS: Final = "rotary positions"
WINDOWS: Final = "attention windows"
"""Two of the settings that may differ; see `ModelConfig`."""
MISSING: Final = "–"
ALIKE: Final = "the same in all models"


@dataclass(frozen=True)
class Finding:
    """`found` is a sentence without its full stop; `models` are the names of those concerned."""

    level: Level
    models: tuple[str, ...]
    found: str
    expected: str
    remedy: str


@dataclass(frozen=True)
class Row:
    """One property of all models, in the order of `Fit.models`."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class Fit:
    """What stands in the way of merging these models, what is odd about it, and how they compare."""

    models: tuple[str, ...]
    findings: tuple[Finding, ...]
    table: tuple[Row, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return self.of("error")

    def of(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        counts = [(len(self.of("error")), "problem"), (len(self.of("warning")), "warning")]
        parts = [counted(n, noun) for n, noun in counts if n]
        verdict = "cannot be merged as they are" if self.errors else "can be merged"
        return f"These models {verdict}{': ' if parts else ''}{' and '.join(parts)}."


def fit(
    parents: Sequence[Parent],
    base: Parent | None = None,
    method: Method | None = None,
    tokenizer: Tokenizer = "same",
    is_stack: bool = False,
    donor: Parent | None = None,
    is_path: bool = False,
) -> Fit:
    """How these models fit each other. Nothing is raised for what a folder holds: that is a finding.

    Rows of embeddings are found by token unless `tokenizer` is "same". Layers of a stack may be of any number, and their
    shapes are checked when it is planned. `donor` is whose configuration the result has: the base model where it has its
    tokenizer or a union, otherwise the first parent.

    For a path (`is_path`, which is a stack too), only layers must fit: embeddings, head and tokenizer are the first
    parent's.
    """
    models = [*([base] if base is not None else []), *parents]
    of_base = base is not None and tokenizer in ("base", "union")
    chosen = donor or (parents[0] if parents and not of_base else models[0])
    known = [_Model.read(model) for model in models]
    comparison = _Comparison(tuple(known), models.index(chosen), tokenizer, is_stack or is_path, is_path)
    findings = [*(_number_of(method, parents, base) if method and not is_path else ()), *comparison.findings()]
    return _verdict(comparison, findings, comparison.table())


class Pairs:
    """Pairs of many models: how two fit each other, and all together, with every folder read once. Keeps what it has read."""

    def __init__(self) -> None:
        self._known: dict[Parent, _Model] = {}

    def fit(self, first: Parent, other: Parent, tokenizer: Tokenizer = "same") -> Fit:
        """As `fit`, where the result is like the first of two; without what is good to know of any models, and without a table."""
        comparison = _Comparison((self._read(first), self._read(other)), 0, tokenizer, False, False)
        return _verdict(comparison, comparison.misfits())

    def together(self, parents: Sequence[Parent]) -> Fit:
        """As `fit` of these parents, of which there is at least one, and of nothing else."""
        comparison = _Comparison(tuple(map(self._read, parents)), 0, "same", False, False)
        return _verdict(comparison, comparison.findings(), comparison.table())

    def _read(self, parent: Parent) -> _Model:
        if parent not in self._known:
            self._known[parent] = _Model.read(parent)
        return self._known[parent]


def _verdict(comparison: _Comparison, findings: Iterable[Finding], table: Iterable[Row] = ()) -> Fit:
    worst_first = sorted(findings, key=lambda finding: LEVELS.index(finding.level))
    return Fit(tuple(model.name for model in comparison.models), tuple(worst_first), tuple(table))


def check_recipe_fit(recipe: Recipe) -> None:
    """ParentError unless the folders of a recipe can be merged as it wants."""
    if not recipe.is_stack:
        check_parents(methods.get(recipe.method), recipe.parents, recipe.base)
    _refuse(
        fit(
            recipe.parents,
            recipe.base,
            tokenizer=recipe.companions.tokenizer,
            is_stack=recipe.is_stack,
            donor=recipe.donor,
            is_path=recipe.path is not None,
        )
    )


def _refuse(found: Fit) -> None:
    if found.errors:
        raise ParentError(f"these models cannot be merged: {listed([finding.found for finding in found.errors])}")


@dataclass(frozen=True)
class _Model:
    """A model as its files tell; `problems` are what cannot be read. `template` and `end` are "" when there is none."""

    name: str
    facts: ParentFacts | None
    vocabulary: Vocabulary | None
    problems: tuple[str, ...]
    template: str
    end: str
    ancestors: frozenset[str]

    @classmethod
    def read(cls, parent: Parent) -> _Model:
        folder, problems = Path(parent.folder), list[str]()
        facts = _caught(problems, lambda: parent_facts(folder))
        if facts is None:
            return cls(parent.name, None, None, tuple(problems), "", "", frozenset())
        words = _caught(problems, lambda: read_vocabulary(folder))
        template = _caught(problems, lambda: default_template(folder)) or ""
        end = _caught(problems, lambda: _end(folder, words)) or ""
        ancestors = _caught(problems, lambda: _ancestors(folder)) or frozenset()
        return cls(parent.name, facts, words, tuple(problems), template, end, ancestors)


@dataclass(frozen=True)
class _Readable:
    """A model whose tensors are known."""

    name: str
    facts: ParentFacts
    model: _Model

    @cached_property
    def arithmetic(self) -> Mapping[str, object]:
        return self.facts.config.arithmetic

    @property
    def layers(self) -> Layers:
        return Layers(self.name, self.facts)

    @cached_property
    def names(self) -> set[str]:
        """What others may call it as their ancestor."""
        return {_last(self.name), _last(self.facts.folder.name)}


@dataclass(frozen=True)
class _Comparison:
    """All models beside each other. The first of them is what the others are measured by."""

    models: tuple[_Model, ...]
    donor: int
    tokenizer: Tokenizer
    is_stack: bool
    is_path: bool

    @cached_property
    def readable(self) -> tuple[_Readable, ...]:
        return tuple(_Readable(one.name, one.facts, one) for one in self.models if one.facts is not None)

    @property
    def by_token(self) -> bool:
        return self.tokenizer != "same"

    @property
    def donor_name(self) -> str:
        return self.models[self.donor].name

    @property
    def _donor_and_others(self) -> tuple[_Readable, list[_Readable]]:
        """Of the readable models; the first of them where the donor is not."""
        donor = next((of for of in self.readable if of.name == self.donor_name), self.readable[0])
        return donor, [of for of in self.readable if of is not donor]

    def findings(self) -> Iterator[Finding]:
        yield from self.misfits()
        if self.readable:
            yield from self._good_to_know()

    def misfits(self) -> Iterator[Finding]:
        """All but what is good to know of any models."""
        yield from self._unreadable()
        yield from self._unlisted()
        if self.readable:
            yield from self._structure()
            if self.is_path:
                yield from self._layers()
                yield from self._other_tokens()
            else:
                yield from self._tied()
                yield from self._tensors()
                yield from self._vocabularies()
            yield from self._choices()
            yield from self._lineage()
            yield from self._dtypes()

    def table(self) -> Iterator[Row]:
        """What the models are; then what differs and no tensor shows; then the tensors that differ."""
        yield self._row("model type", lambda of: of.facts.model_type)
        yield self._row("number of layers", lambda of: str(of.facts.n_layers))
        yield self._row("hidden_size", lambda of: str(of.facts.hidden_size or MISSING))
        yield self._row("vocab_size", lambda of: str(of.facts.vocab_size or MISSING))
        yield self._row("parameters", lambda of: f"{of.facts.n_parameters:,}")
        yield self._row("dtype", lambda of: of.facts.dtype)
        yield self._row("tied embeddings", lambda of: "yes" if of.facts.tied_embeddings else "no")
        yield self._row("end of text", lambda of: of.model.end or MISSING)
        yield self._row("chat template", lambda of: self._letter(of.model.template))
        yield self._row("licence", lambda of: _licence(of) or MISSING)
        hidden = self._differing("arithmetic") + self._differing("chosen")
        yield from (self._row(name, partial(_value_of, name=name)) for name in hidden)
        names = self._differing_tensors
        yield from (self._row(name, partial(_shape_of, name=name)) for name in names[:MAX_ROWS])
        if len(names) > MAX_ROWS:
            yield Row(f"{len(names) - MAX_ROWS} more tensors differ", tuple(MISSING for _ in self.models))

    def _unreadable(self) -> Iterator[Finding]:
        for one in self.models:
            for problem in one.problems:
                yield Finding(
                    "error",
                    (one.name,),
                    problem,
                    "a Hugging Face folder with config.json, safetensors and tokenizer.json",
                    f"Mend the folder of {one.name} or download it again; without that, leave the model out.",
                )

    def _unlisted(self) -> Iterator[Finding]:
        found = [of for of in self.readable if not of.facts.config.family.is_listed]
        for model_type in dict.fromkeys(of.facts.model_type for of in found):
            names = tuple(of.name for of in found if of.facts.model_type == model_type)
            if self.is_path:
                yield Finding(
                    "error",
                    names,
                    f"{joined(names)} {_is(names)} of the unlisted family {model_type}, of which nobody wrote down what its "
                    "layers are",
                    f"one of {', '.join(families.names())}",
                    "A path goes through layers: choose parents of a listed family.",
                )
                continue
            yield Finding(
                "warning",
                names,
                f"{joined(names)} {_is(names)} of the unlisted family {model_type}, known by names and shapes alone",
                f"one of {', '.join(families.names())}",
                "Its tensors are merged as one group, the whole model; layer groups are not possible. It can be scored, and "
                f"so be searched for, only if the installed transformers knows {model_type} as a language model.",
            )

    def _structure(self) -> Iterator[Finding]:
        expected = "Choose models of one architecture and size: such as fine-tunes of one base model."
        if not self.is_stack:
            yield from self._different("error", "number of layers", lambda of: of.facts.n_layers, expected)
        yield from self._different("error", "hidden_size", lambda of: of.facts.hidden_size, expected)
        for name in self._differing("arithmetic"):
            yield from self._different("error", name, partial(_arithmetic_of, name=name), expected)
        yield from self._numbered() if self.is_stack else ()
        yield from self._different(
            "warning",
            "model_type",
            lambda of: of.facts.model_type,
            f"Their tensors are compared by name and shape; the result is what {self.donor_name} is.",
        )

    def _numbered(self) -> Iterator[Finding]:
        """Models whose layers are others under another number."""
        names = tuple(of.name for of in self.readable if of.arithmetic.get(SCALED_BY_NUMBER))
        if names:
            yield Finding(
                "error",
                names,
                f"{SCALED_BY_NUMBER} is True in {joined(names)}, which divides attention by a layer's number",
                "layers that are the same wherever they stand",
                f"Leave out {joined(names)}: what such a layer does changes with its place.",
            )

    def _layers(self) -> Iterator[Finding]:
        """What layers of a path cannot be in the model that runs them, which is like the donor."""
        donor, others = self._donor_and_others
        for other in others:
            problems = list(donor.layers.misfits(other.layers))
            if problems and donor.facts.config.family.is_listed and other.facts.config.family.is_listed:
                yield Finding(
                    "error",
                    (donor.name, other.name),
                    listed(problems),
                    f"layers as {donor.name} has them",
                    "The result is one model with one configuration for all of its layers: choose models that were built alike.",
                )

    def _other_tokens(self) -> Iterator[Finding]:
        """A path begins and ends in one model; what tokens the others had matters to their layers alone."""
        donor, others = self._donor_and_others
        yield from self._unheard(donor)
        for other in others:
            if words := _difference(donor, other):
                yield Finding(
                    "warning",
                    (donor.name, other.name),
                    f"the tokenizers of {donor.name} and {other.name} differ: {words}",
                    "the same tokens with the same numbers",
                    f"The path begins and ends in {donor.name}, so the result has its tokens. Layers of {other.name} learnt "
                    "from others and may help little: compare scores, or choose parents with one tokenizer.",
                )

    def _tied(self) -> Iterator[Finding]:
        tied = tuple(of.name for of in self.readable if of.facts.tied_embeddings)
        loose = tuple(of.name for of in self.readable if not of.facts.tied_embeddings)
        if not tied or not loose:
            return
        found = f"tie_word_embeddings is True in {joined(tied)} and False in {joined(loose)}"
        if self.donor_name in tied:
            yield Finding(
                "error",
                (*tied, *loose),
                f"{found}, and the result, which is like {self.donor_name}, has no place for an output embedding",
                "a result with an output embedding of its own, or tied embeddings in all models",
                f"Let {loose[0]} come first, or be the base model whose tokenizer the result has.",
            )
        elif self.by_token and self._tokenizers_differ:
            yield Finding(
                "error",
                (*tied, *loose),
                f"{found}, and their tokenizers differ",
                "equal tokenizers where only some models tie their embeddings",
                f"Leave out {joined(tied)}, or choose models with one tokenizer.",
            )
        else:
            yield Finding(
                "info",
                tied,
                found,
                ALIKE,
                f"The result has an output embedding of its own, as {self.donor_name} has; the input embedding of "
                f"{joined(tied)} is read for it too.",
            )

    def _tensors(self) -> Iterator[Finding]:
        if self.is_stack:
            return
        one = self.readable[0]
        for other in self.readable[1:]:
            if self._same_structure(one, other):
                yield from self._tensors_of(one, other)

    def _tensors_of(self, one: _Readable, other: _Readable) -> Iterator[Finding]:
        names = [name for name in self._differing_tensors if _shape_of(one, name) != _shape_of(other, name)]
        here, there = one.facts.tensors, other.facts.tensors
        lacking = [
            *(f"{other.name} has no {name}, {one.name} has" for name in names if name not in there),
            *(f"{one.name} has no {name}, {other.name} has" for name in names if name not in here),
        ]
        shapes = [
            f"{name} is {_shape_of(other, name)} in {other.name} and {_shape_of(one, name)} in {one.name}"
            for name in names
            if name in here and name in there
        ]
        both = (one.name, other.name)
        if lacking:
            yield Finding(
                "error",
                both,
                listed(lacking),
                "the same tensors in all models",
                "A tensor that only one model has cannot be mixed: choose models that were built alike.",
            )
        if shapes:
            yield Finding(
                "error",
                both,
                listed(shapes),
                "one shape for each tensor",
                "Numbers in different places cannot be mixed: choose models of one size.",
            )

    def _vocabularies(self) -> Iterator[Finding]:
        for of in self.readable:
            yield from self._unheard(of)
        if not all(of.facts.config.family.is_listed for of in self.readable):
            remedy, is_solved = "Of an unlisted family no embedding is known: choose models with one tokenizer.", False
        elif self.by_token:
            remedy, is_solved = f"Rows are found by token. The result's numbers are those of {self.donor_name}.", True
        else:
            remedy, is_solved = (
                (
                    "Choose whose tokenizer the result has: the base model's, the first parent's, or the union; rows are then "
                    "found by token."
                ),
                False,
            )
        yield from self._different(
            "info" if is_solved else "error", "vocab_size", lambda of: of.facts.vocab_size, remedy
        )
        known = [of for of in self.readable if of.model.vocabulary is not None]
        for one, other in ((known[0], other) for other in known[1:]):
            if words := _difference(one, other):
                yield Finding(
                    "warning" if is_solved else "error",
                    (one.name, other.name),
                    f"the tokenizers of {one.name} and {other.name} differ: {words}",
                    "the same tokens with the same numbers",
                    remedy,
                )

    def _unheard(self, of: _Readable) -> Iterator[Finding]:
        """Tokens that have no row in the embedding, where the embedding is known."""
        rows, words = of.facts.vocab_size, of.model.vocabulary
        beyond = [text for text, number in words.numbers.items() if not 0 <= number < rows] if words and rows else []
        if beyond:
            yield Finding(
                "error",
                (of.name,),
                f"{len(beyond)} tokens of {of.name}, such as {beyond[0]!r}, lie beyond its {rows} embeddings",
                "a row for every token",
                f"Take the tokenizer that {of.name} was trained with.",
            )

    def _choices(self) -> Iterator[Finding]:
        """What may differ and then is the donor's."""
        remedy = (
            f"The result has that of {self.donor_name}. Parents that were trained otherwise may suffer: compare scores."
        )
        if self.is_path:
            yield from self._positions()
        else:
            for name in self._differing("chosen"):
                yield from self._different("warning", name, partial(_value_of, name=name), remedy)
        yield from self._different("warning", "the end of a text", lambda of: of.model.end or "not stated", remedy)
        with_one = tuple(of.name for of in self.readable if of.model.template)
        without = tuple(of.name for of in self.readable if not of.model.template)
        kinds = {of.model.template for of in self.readable}
        if len(kinds) > 1:
            lacking = f"{joined(without)} {_has(without)} no chat template, {joined(with_one)} {_has(with_one)} one"
            yield Finding(
                "warning",
                tuple(of.name for of in self.readable),
                lacking if without else f"the chat templates of {joined(with_one)} differ",
                ALIKE,
                f"The result has that of {self.donor_name}, unless a recipe brings one: prompt it in that way.",
            )

    def _positions(self) -> Iterator[Finding]:
        """How layers of a path tell positions apart and how far they look back: all as the donor's do."""
        told = f"All layers of the result are told positions as those of {self.donor_name}"
        yield from self._different(
            "error",
            "the rotated share of a head",
            lambda of: rotated_share(of.facts),
            f"{told}, and others would read the wrong numbers: choose models that rotate the same share.",
        )
        yield from self._different(
            "warning",
            POSITIONS,
            partial(_value_of, name=POSITIONS),
            f"{told}; layers that learnt from others see shifted distances: compare scores, or choose models with one rope_theta.",
        )
        yield from self._different(
            "warning",
            "the size of attention windows",
            lambda of: _value_of(of, WINDOWS).partition(" in ")[0],
            f"The result has that of {self.donor_name}: layers of others see more or fewer tokens than they learnt with.",
        )

    def _lineage(self) -> Iterator[Finding]:
        """Pairs that both say where they come from, and name nobody in common."""
        for one, other in combinations(self.readable, 2):
            if _are_strangers(one, other):
                yield Finding(
                    "warning",
                    (one.name, other.name),
                    f"{other.name} descends from {joined(sorted(other.model.ancestors))}, {one.name} from "
                    f"{joined(sorted(one.model.ancestors))}",
                    "one common ancestor",
                    (
                        "Layers of models that did not grow from the same weights speak different languages: choose fine-tunes of "
                        "one base model."
                        if self.is_path
                        else "Models that did not grow from the same weights rarely mix well, and task vectors mean nothing "
                        "across ancestors: choose fine-tunes of one base model."
                    ),
                )

    def _dtypes(self) -> Iterator[Finding]:
        remedy = "All is computed in float32 and rounded once. Say in the recipe which dtype the result is written in."
        yield from self._different("warning", "the dtype of most tensors", lambda of: of.facts.dtype, remedy)

    def _good_to_know(self) -> Iterator[Finding]:
        names = tuple(of.name for of in self.readable)
        licences = _grouped([(of.name, _licence(of) or "not stated") for of in self.readable])
        yield Finding(
            "info",
            names,
            f"licence: {licences}",
            "terms that allow what you have in mind",
            "A merged model is under the terms of all of its parents.",
        )
        n_bytes = sum(of.facts.n_bytes for of in self.readable)
        most = max(of.facts.n_parameters for of in self.readable)
        yield Finding(
            "info",
            names,
            f"the largest model has {most:,} parameters; a merge reads {size(n_bytes)}",
            "room on the disk for one more model",
            "Nothing is copied before a merge, and parents are only read.",
        )

    def _different(
        self, level: Level, name: str, value: Callable[[_Readable], object], remedy: str
    ) -> Iterator[Finding]:
        """A finding when not all models have the same value."""
        values = [(of.name, value(of)) for of in self.readable]
        shown = [(model, str(found)) for model, found in values if found is not None]
        if len({found for _, found in values if found is not None}) > 1:
            yield Finding(level, tuple(model for model, _ in shown), f"{name} is {_grouped(shown)}", ALIKE, remedy)

    def _differing(self, kind: Literal["arithmetic", "chosen"]) -> list[str]:
        """Names of settings that have several values among the models that have them at all."""
        settings: list[Mapping[str, object]] = [getattr(of.facts.config, kind) for of in self.readable]
        names = dict.fromkeys(name for of_model in settings for name in of_model)
        return [name for name in names if len({str(of[name]) for of in settings if name in of}) > 1]

    @cached_property
    def _differing_tensors(self) -> list[str]:
        """Names of tensors that not all models have in one shape; embeddings that a strategy brings together are none."""
        if self.is_stack:
            return []
        names = dict.fromkeys(name for of in self.readable for name in of.facts.tensors)
        free = self._free
        return [name for name in names if name not in free and len({_shape_of(of, name) for of in self.readable}) > 1]

    @property
    def _free(self) -> set[str]:
        """Embeddings whose shapes or presence other findings speak of."""
        tied = {of.facts.config.family.tied for of in self.readable}
        several_sizes = len({of.facts.vocab_size for of in self.readable}) > 1
        several_ties = len({of.facts.tied_embeddings for of in self.readable}) > 1
        outputs, both = {pair[0] for pair in tied}, {name for pair in tied for name in pair}
        return (both if several_sizes or self.by_token else set()) | (outputs if several_ties else set())

    def _same_structure(self, one: _Readable, other: _Readable) -> bool:
        here, there = one.arithmetic, other.arithmetic
        return (one.facts.n_layers, one.facts.hidden_size) == (other.facts.n_layers, other.facts.hidden_size) and all(
            there[name] == here[name] for name in here if name in there
        )

    @property
    def _tokenizers_differ(self) -> bool:
        return any(_difference(self.readable[0], of) for of in self.readable[1:])

    def _row(self, name: str, value: Callable[[_Readable], str]) -> Row:
        known = {of.name: value(of) for of in self.readable}
        return Row(name, tuple(known.get(model.name, MISSING) for model in self.models))

    def _letter(self, template: str) -> str:
        """Templates have no names: A is that of the first model that has one."""
        kinds = list(dict.fromkeys(of.model.template for of in self.readable if of.model.template))
        return f"template {chr(ord('A') + kinds.index(template) % 26)}" if template else MISSING


def _number_of(method: Method, parents: Sequence[Parent], base: Parent | None) -> Iterator[Finding]:
    """What the method says to so many models."""
    names = tuple(model.name for model in (*parents, *([base] if base is not None else [])))
    try:
        check_parents(method, parents, base)
    except RecipeError as error:
        remedy = "Choose other models, or another method."
        yield Finding("error", names, str(error), f"what {method.title} takes", remedy)


def _caught(problems: list[str], read: Callable[[], T]) -> T | None:
    """What `read` returns; None when it refuses, and then why is kept."""
    try:
        return read()
    except (ParentError, OSError) as error:
        problems.append(str(error))
        return None


def _end(folder: Path, words: Vocabulary | None) -> str:
    """What ends a text: the tokens by which generation stops."""
    found: object = None
    for name in ("config.json", "generation_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name).get("eos_token_id", found)
    numbers = found if isinstance(found, list) else [found]
    texts = {number: text for text, number in words.numbers.items() if number in numbers} if words else {}
    return ", ".join(texts.get(number, str(number)) for number in numbers if isinstance(number, int))


def _ancestors(folder: Path) -> frozenset[str]:
    """Names of what a model was made from: the card's, or where the library says that it was loaded from."""
    card = read_card(folder)
    written = read_json(folder / "config.json").get("_name_or_path")
    loaded = [written] if isinstance(written, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", written) else []
    return frozenset(card.ancestors or loaded)


def _are_strangers(one: _Readable, other: _Readable) -> bool:
    here, there = ({_last(name) for name in of.model.ancestors} for of in (one, other))
    return bool(here and there) and not (here & there or one.names & there or other.names & here)


def _last(name: str) -> str:
    """A model's name without whose it is: copies in other places keep it."""
    return name.rstrip("/").rpartition("/")[2].lower()


def _difference(one: _Readable, other: _Readable) -> str | None:
    here, there = one.model.vocabulary, other.model.vocabulary
    return here.difference(there, one.name, other.name) if here and there else None


def _arithmetic_of(of: _Readable, name: str) -> object:
    return of.arithmetic.get(name)


def _licence(of: _Readable) -> str:
    """As its card names it; "" where it does not, but for models that come with Progeny."""
    return of.facts.licence or (NO_LICENCE if is_of_pack(of.facts.folder) else "")


def _value_of(of: _Readable, name: str) -> str:
    config = of.facts.config
    return str(config.arithmetic.get(name, config.chosen.get(name, MISSING)))


def _shape_of(of: _Readable, name: str) -> str:
    entry = of.facts.tensors.get(name)
    return MISSING if entry is None else str(list(entry.shape))


def _grouped(values: Sequence[tuple[str, str]]) -> str:
    """`2 in b and 3 in a, c`: what the first model has comes last."""
    groups: dict[str, list[str]] = {}
    for model, value in values:
        groups.setdefault(value, []).append(model)
    first, *others = groups.items()
    return " and ".join(f"{value} in {', '.join(models)}" for value, models in (*others, first))


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"
