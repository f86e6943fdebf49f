"""Mistral 7B and its descendants: Llama's tensors without biases, with a sliding window that no tensor shows."""

from dataclasses import replace

from merging.families import llama
from merging.families.family import Part, Window

FAMILY = replace(
    llama.FAMILY,
    model_type="mistral",
    title="Mistral",
    parts=(Part((*llama.ATTENTION, *llama.MLP)),),
    window=Window(4096),
)
