"""What a program chooses for a run: the fields of `webapp.runs.launching.presets.Preset`, and no others."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from merging.recipes import Tokenizer
from webapp.runs.launching.presets import OWN, Measure, Preset, Spaces

MAX_INTEGER: Final = 2**31 - 1
MAX_NAME: Final = 200
ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
UUID_TEXT: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00]*$")]
RunName = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=ONE_LINE, description="one line")]
Count = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Number = Annotated[float, Field(allow_inf_nan=False)]
PresetName = Literal["quick", "balanced", "standard", "path", "both", "paper-path", "own"]


class Body(BaseModel):
    """What is taken: these keys alone, each of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class MeasureChoice(Body):
    """A benchmark by its name, how much it counts, and how many questions of each split; null: all of them."""

    benchmark: Name
    weight: Number = 1.0
    n_search: Count | None = None
    n_validation: Count | None = None
    n_final: Count | None = None


class PathChoice(Body):
    """What belongs to the path of layers. Of both spaces `model_a` is the winner over numbers."""

    model_a: Name | None = None
    model_b: Name | None = None
    repeats: Count = OWN.path.repeats
    scales: Name = OWN.path.scales
    max_hops: Count | None = None
    p_others: Number = OWN.path.p_others
    search: Name = OWN.path.search
    population_size: Count | None = None
    budget: Count = OWN.path.budget


class RunChoices(Body):
    """What is not sent is as in `preset`, or as in the run `like`."""

    preset: PresetName = "own"
    like: Annotated[
        str | None,
        Field(
            pattern=UUID_TEXT,
            description="a run that you may see: begin with its choices instead of a preset's",
        ),
    ] = None
    name: RunName | None = Field(default=None, description="null: after method and benchmarks")
    project: Annotated[
        str | None,
        Field(pattern=UUID_TEXT, description="the number of a project where you are an editor; null: in none"),
    ] = None
    space: Spaces = Field(default="numbers", description="what evolves")
    parents: Annotated[list[Name], Field(max_length=64, description="by their names on the Models page")] = []
    base: Name | None = None
    tokenizer: Tokenizer = "same"
    measures: Annotated[list[MeasureChoice], Field(max_length=64)] = []
    method: Name = OWN.method
    settings: Annotated[dict[str, Number | bool], Field(max_length=64, description="the method's own")] = {}
    groups: Name = Field(default=OWN.groups, description="model, block, a number of groups, or gradient and a number")
    filters: Annotated[
        str, Field(max_length=MAX_NAME, pattern=r"^[^\x00]*$", description="parts of tensors' names, by commas")
    ] = ""
    search: Name = OWN.search
    population_size: Count | None = None
    budget: Count = OWN.budget
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = OWN.seed
    n_finalists: Count = OWN.n_finalists
    fidelity: Name = OWN.fidelity
    fidelity_settings: Annotated[dict[str, Number], Field(max_length=64)] = {}
    steady: bool = Field(
        default=OWN.steady,
        description="open a generation before the last candidates of the one before are scored: for several workers",
    )
    path: PathChoice = PathChoice()
    random_search: bool = Field(default=False, description="launch a random search with the same budget beside it")
    on_public_test_set: bool = Field(
        default=False, description="search on a public test set all the same; your name is kept with the run"
    )

    def over(self, start: Preset) -> Preset:
        """The preset with what was sent in its place."""
        sent = {name: getattr(self, name) for name in self.model_fields_set & _OF_PRESET}
        path = {name: getattr(self.path, name) for name in self.path.model_fields_set}
        changes: dict[str, Any] = {name: sent[name] for name in sent.keys() - _CONVERTED}
        if "parents" in sent:
            changes["parents"] = tuple(self.parents)
        if "measures" in sent:
            changes["measures"] = tuple(Measure(**measure.model_dump()) for measure in self.measures)
        for name in sent.keys() & {"settings", "fidelity_settings"}:
            changes[name] = tuple(sorted(sent[name].items()))
        return replace(start, path=replace(start.path, **path), **changes)


_CONVERTED: Final = {"parents", "measures", "settings", "fidelity_settings", "path"}
_OF_PRESET: Final = RunChoices.model_fields.keys() - {
    "preset", "like", "name", "project", "random_search", "on_public_test_set",
}  # fmt: skip


def choices_of(start: Preset) -> RunChoices:
    """The choices that describe a preset in full, but for a name."""
    return RunChoices(
        space=start.space,
        parents=list(start.parents),
        base=start.base,
        tokenizer=start.tokenizer,
        measures=[MeasureChoice(**asdict(measure)) for measure in start.measures],
        method=start.method,
        settings=dict(start.settings),
        groups=start.groups,
        filters=start.filters,
        search=start.search,
        population_size=start.population_size,
        budget=start.budget,
        seed=start.seed,
        n_finalists=start.n_finalists,
        fidelity=start.fidelity,
        fidelity_settings=dict(start.fidelity_settings),
        steady=start.steady,
        path=PathChoice(**asdict(start.path)),
    )
