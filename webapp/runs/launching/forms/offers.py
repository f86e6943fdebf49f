"""What the page shows of a form's choices: each radio button or checkbox with what it means and what belongs to it."""

from __future__ import annotations

from collections.abc import Iterator

from django import forms
from django.forms.boundfield import BoundField, BoundWidget

from merging.fidelity import Fidelity, fidelities
from merging.genomes import nothing_to_search
from merging.methods import methods
from merging.methods.method import Method
from merging.search import SearchKind, searches
from webapp.library.models import Benchmark
from webapp.runs.launching.forms.choices import DIVISIONS, GROUPS, SCALE_OPTIONS, SPACE_OPTIONS
from webapp.runs.launching.forms.fields import MEASURED, fidelity_name, setting_name
from webapp.runs.launching.measures import Measure


class Offers(forms.Form):
    """The part of the form that templates read."""

    def fidelity_options(self) -> Iterator[tuple[BoundWidget, Fidelity, list[BoundField]]]:
        """Each way of asking with its radio button and the fields of its settings."""
        for button in self["fidelity"]:
            kind = fidelities.get(button.data["value"])
            yield button, kind, [self[fidelity_name(kind, setting)] for setting in kind.settings]

    def benchmark_options(self) -> Iterator[tuple[BoundWidget, Benchmark, list[BoundField]]]:
        """Each benchmark with its checkbox and the fields of what is chosen for it."""
        for button in self["benchmarks"]:
            row = button.data["value"].instance
            yield button, row, [self[Measure(row).field(name)] for name in MEASURED]

    def method_options(self) -> Iterator[tuple[BoundWidget, Method, list[BoundField]]]:
        """Each method with its radio button and the fields of its settings."""
        for button in self["method"]:
            method = methods.get(button.data["value"])
            yield button, method, [self[setting_name(method, parameter)] for parameter in method.per_recipe()]

    def method_kinds(self) -> Iterator[tuple[str, list[tuple[BoundWidget, Method]]]]:
        """The methods by what they merge."""
        options = [(button, method) for button, method, _ in self.method_options()]
        yield "Changes since a base model", [option for option in options if option[1].needs_base]
        yield "Whole tensors", [option for option in options if not option[1].needs_base]

    def other_methods(self) -> list[tuple[Method, str]]:
        """The methods that no run searches, with the reason."""
        return [(method, why) for method in methods if (why := nothing_to_search(method))]

    def group_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """Each granularity's radio button with what it means."""
        return zip(iter(self["groups"]), (summary for _, _, summary in GROUPS), strict=True)

    def division_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """The radio button of each way to divide a layer with what it means."""
        return zip(iter(self["division"]), (summary for _, _, summary in DIVISIONS), strict=True)

    def search_options(self) -> Iterator[tuple[BoundWidget, SearchKind]]:
        """Each search over numbers with its radio button."""
        return ((button, searches.get(button.data["value"])) for button in self["search"])

    def path_search_options(self) -> Iterator[tuple[BoundWidget, SearchKind]]:
        """Each search over paths with its radio button."""
        return ((button, searches.get(button.data["value"])) for button in self["path_search"])

    def space_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """Each space's radio button with what it means."""
        return zip(iter(self["space"]), (summary for _, _, summary in SPACE_OPTIONS), strict=True)

    def scale_options(self) -> Iterator[tuple[BoundWidget, str]]:
        """The radio button of each way to find scales with what it means."""
        return zip(iter(self["scales"]), (summary for _, _, summary in SCALE_OPTIONS), strict=True)
