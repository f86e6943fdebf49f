"""The form's fields that are made from what methods, ways of asking and benchmarks declare, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from merging.fidelity import Fidelity, Setting
from merging.methods.method import Method
from merging.parameters import Parameter
from webapp.library.models import Benchmark
from webapp.runs.launching.measures import SPLITS

MEASURED: Final = ("weight", "n_search", "n_validation", "n_final")
"""What is chosen for each benchmark by itself."""


class ManyOptions(forms.Select):
    """A select as Django writes it, but not by a template for each option, which with a thousand models takes most of a page's time."""

    def render(self, name: str, value: Any, attrs: Mapping[str, Any] | None = None, renderer: Any = None) -> SafeString:
        """Its HTML."""
        widget = self.get_context(name, value, dict(attrs or {}))["widget"]
        options = format_html_join(
            "\n",
            '<option value="{}"{}>{}</option>',
            (
                (option["value"], " selected" if option["selected"] else "", option["label"])
                for _, options, _ in widget["optgroups"]
                for option in options
            ),
        )
        return format_html('<select name="{}"{}>{}</select>', widget["name"], flatatt(widget["attrs"]), options)


def number(label: str, help_text: str = "", required: bool = True, placeholder: str = "") -> forms.IntegerField:
    widget = forms.TextInput(attrs={"inputmode": "numeric", "placeholder": placeholder, "autocomplete": "off"})
    message = f"{label} is not a whole number."
    return forms.IntegerField(
        label=label, help_text=help_text, required=required, widget=widget, error_messages={"invalid": message}
    )


def measure_fields(row: Benchmark) -> dict[str, forms.Field]:
    """Their help stands once, above all benchmarks."""
    weight = forms.FloatField(
        label="Weight",
        required=False,
        initial=1,
        widget=forms.TextInput(
            attrs={"inputmode": "decimal", "autocomplete": "off", "aria-label": f"Weight of {row.title}"}
        ),
        error_messages={"invalid": f"The weight of {row.title} is not a number."},
    )
    counts = {f"n_{split}": number(f"{split.capitalize()} questions", "", False, "all") for split in SPLITS}
    return {"weight": weight, **counts}


def fidelity_name(kind: Fidelity, setting: Setting) -> str:
    return f"fidelity-{kind.name}-{setting.name}"


def fidelity_field(setting: Setting) -> forms.Field:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    help_text = f"{setting.help} From {setting.low:g} to {setting.high:g}."
    return forms.FloatField(
        label=setting.name.replace("_", " "),
        help_text=help_text,
        required=False,
        initial=setting.default,
        widget=widget,
    )


def setting_name(method: Method, parameter: Parameter) -> str:
    return f"{method.name}-{parameter.name}"


def setting_field(parameter: Parameter) -> forms.Field:
    if parameter.kind == "flag":
        return forms.BooleanField(
            label=parameter.name, help_text=parameter.help, required=False, initial=bool(parameter.default)
        )
    widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
    return forms.FloatField(label=parameter.name, help_text=parameter.help, initial=parameter.default, widget=widget)
