"""What the form of a new run offers where neither a method nor a search declares it: a value, its title, and what it means."""

from __future__ import annotations

from typing import Final

GROUPS: Final = (
    ("model", "One group", "The whole model takes the same numbers: the fewest to find, and the paper's choice."),
    ("some", "A few groups", "Layers in equal groups over depth, the embeddings on their own."),
    ("block", "Every layer", "A group per layer, the embeddings on their own: the finest."),
    (
        "gradient",
        "A gradient",
        "Numbers for a few depths, and straight lines between them: smooth, however deep the model.",
    ),
)
DIVISIONS: Final = (
    ("whole", "Whole layers", "All tensors of a layer take the same numbers."),
    ("parts", "Attention and MLP", "Each part of a layer takes numbers of its own, and so does the rest."),
    ("named", "By name", "Tensors whose names contain what you type take numbers of their own."),
)
SPACE_OPTIONS: Final = (
    (
        "numbers",
        "The numbers",
        "Parameter space: how much each parent gives, layer by layer. The child is as large and as fast as a parent.",
    ),
    (
        "path",
        "The layer path",
        "Data-flow space: which layers of two models, or of one, are passed and in which order. No tensor changes; "
        "a longer path is a larger, slower child.",
    ),
    (
        "both",
        "Both, one after the other",
        "Numbers first. When that run is done, its winner is model A of a second run, over the layer path, by itself.",
    ),
)
TOKENIZER_OPTIONS: Final = (
    ("same", "The one that all of them have"),
    ("first", "The first parent's"),
    ("base", "The base model's"),
    ("union", "The union: all tokens of all of them"),
)
SCALE_OPTIONS: Final = (
    (
        "slot",
        "One for each place",
        "A number on the way into every place of the list: compact, for models of any depth.",
    ),
    (
        "matrix",
        "One for each pair of layers",
        "A number for the way from each layer to each other one: the paper's matrix. Many for deep models.",
    ),
    (
        "network",
        "From a small network",
        "41 numbers of a network that makes them all, however deep the models: the paper's choice at 7 billion parameters.",
    ),
    ("one", "None", "What flows from layer to layer stays as it is. In the paper that cost most of the gain."),
)
