"""What mergekit calls and assumes otherwise than we do, as tables. Compared with mergekit 0.1.5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

LAYER_NUMBER: Final = re.compile(r"(?:^|\.)[0-9]")
"""In a filter: names that it is part of depend on a layer's number."""
MIN_TEMPLATE: Final = 20
"""Characters."""

NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "nuslerp": {"flatten": "nuslerp_flatten", "column_wise": "nuslerp_row_wise"},
}
"""What some of our parameters are called there."""
FIRST_IS_BASE: Final = ("slerp",)
"""Here the first of two equal parents, there the base model."""

# What mergekit assumes where a file says nothing and we would assume something else.
REQUIRED: Final = ("weight", "t")
ASSUMED: Final[Mapping[str, Mapping[str, float | bool]]] = {
    "ties": {"normalize": True},
    "della": {"normalize": True},
    "karcher": {"max_iter": 10.0, "tol": 1e-5},
}
ASSUMED_EVERYWHERE: Final[Mapping[str, float | bool]] = {"density": 1.0}

PER_MODEL: Final = ("gamma", "epsilon")
"""mergekit has one of these for each model, we one for all."""
UNUSED: Final[Mapping[str, tuple[str, ...]]] = {"task_arithmetic": ("density", "rescale")}
"""What a method of mergekit takes and does not use; `int8_mask`, which saves memory, belongs to all."""
FIXED: Final[Mapping[str, Mapping[str, float | bool]]] = {
    "ties": {"rescale": False},
    "breadcrumbs": {"rescale": False},
    "breadcrumbs_ties": {"rescale": False},
    "multislerp": {"eps": 1e-8},
}
"""What a method of mergekit can be told and ours cannot, and the value that it has here."""

RANDOM: Final = ("dare_linear", "dare_ties", "della", "della_linear")
TRIMMED: Final = "mergekit rounds the number of kept elements down, which may be one fewer than in this model"
DRAWN: Final = "mergekit draws what is dropped in its own way, and makes up for it by the sum of magnitudes, not by the probability"
DIFFERENT: Final[Mapping[str, str]] = {
    **dict.fromkeys(RANDOM, DRAWN),
    **dict.fromkeys(("ties", "breadcrumbs", "breadcrumbs_ties"), TRIMMED),
    "model_stock": "mergekit lets parents that contradict each other step away from the base model, and shortens small changes",
    "sce": "mergekit weights parents alike where their changes are small",
    "slerp": "mergekit goes straight between tensors that are nearly parallel, up to 7e-5 of a tensor from the arc",
    "arcee_fusion": "mergekit estimates the threshold of large tensors from a sample that it draws",
}
"""How mergekit's tensors differ from those of a recipe that was not imported from it, beyond rounding."""


def name_there(method: str, parameter: str) -> str:
    """What a parameter of ours is called in mergekit's files."""
    return NAMES.get(method, {}).get(parameter, parameter)


def is_template(text: str) -> bool:
    """Whether mergekit takes a chat template for Jinja, not for the name of one that it brings along."""
    return "{" in text and len(text) >= MIN_TEMPLATE
