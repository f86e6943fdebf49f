"""Model folders and question files as people bring them, a few hundred bytes each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from merging.benchmarks import QuestionFile
from merging.families import Layout, families

VOCABULARY = {"a": 0, "b": 1, "c": 2, "d": 3}


def model_folder(
    path: Path, hidden_size: int = 2, n_layers: int = 2, fill: float = 0.0, more_words: Sequence[str] = ()
) -> Path:
    """A tiny Llama that can be a parent. `fill` makes two folders of one shape differ."""
    path.mkdir(parents=True)
    vocabulary = VOCABULARY | {word: len(VOCABULARY) + i for i, word in enumerate(more_words)}
    config = {
        "model_type": "llama",
        "num_hidden_layers": n_layers,
        "hidden_size": hidden_size,
        "vocab_size": len(vocabulary),
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "intermediate_size": 2,
        "tie_word_embeddings": True,
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": []})
    )
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    layout = Layout(n_layers, tied_embeddings=True, switches={"attention_bias": False, "mlp_bias": False})
    tensors = {name: np.full(hidden_size, fill, np.float32) for name in families.get("llama").required(layout)}
    tensors["model.embed_tokens.weight"] = np.full((len(vocabulary), hidden_size), fill, np.float32)
    save_file(tensors, path / "model.safetensors")
    return path


def question_file(path: Path, n: int = 40) -> QuestionFile:
    """`n` sums with their answers, one a line."""
    path.write_text("".join(json.dumps({"question": f"{i} + 1 = ?", "answer": str(i + 1)}) + "\n" for i in range(n)))
    return QuestionFile(str(path), "last_number", seed=0)
