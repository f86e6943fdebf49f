"""What models with random tensors need beside them: a tokenizer of made-up words, and the name of the card they run on."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def word_tokenizer(n: int, **settings: Any) -> PreTrainedTokenizerFast:
    """`w0` pads, `w2` ends, `w3` stands for what is unknown; words up to `w{n - 1}`, separated by blanks."""
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(n)}, unk_token="w3"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w2", **settings)


def described(device: torch.device) -> str:
    """The card, its memory and CUDA's version."""
    if device.type == "cpu":
        return "no GPU: this only tries the program"
    card = torch.cuda.get_device_properties(device)
    return f"{card.name}, {card.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"
