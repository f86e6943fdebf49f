"""Qwen 1.5, 2 and 2.5: Llama's tensors, with biases on query, key and value."""

from dataclasses import replace

from merging.families import llama
from merging.families.family import Part, Window

WINDOW = Window(4096, switch="use_sliding_window")

FAMILY = replace(
    llama.FAMILY,
    model_type="qwen2",
    title="Qwen2",
    parts=(Part((*llama.ATTENTION, *llama.MLP, *llama.QUERY_KEY_VALUE_BIASES)),),
    window=WINDOW,
)
