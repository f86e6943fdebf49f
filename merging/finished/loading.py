"""A program of its own that loads a finished folder as any user of transformers would, and asks it a few things. Imports torch.

It runs apart, started by `after`, because a load may take more memory than there is, and what is found is what a fresh process finds. It
may write no file.

In: `{"folder", "prompts", "n_tokens", "memory"}` as JSON. Out: `{"said": [{"is_finite", "text"}], "n_parameters"}` or `{"error"}`.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Mapping
from typing import Any


def limit(memory: int) -> None:
    """From here on: so many bytes of its own, and no byte written to a file."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answers(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Loads the folder and completes each prompt greedily."""
    import transformers

    library: Any = transformers
    here = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = library.AutoTokenizer.from_pretrained(asked["folder"], **here)
    model, found = library.AutoModelForCausalLM.from_pretrained(
        asked["folder"], dtype="auto", output_loading_info=True, **here
    )
    if wrong := [f"{kind.replace('_', ' ')}: {sorted(map(str, names))[:3]}" for kind, names in found.items() if names]:
        return {"error": f"the library does not find all tensors as the configuration wants them; {'; '.join(wrong)}"}
    said = [completed(model, tokenizer, prompt, asked["n_tokens"]) for prompt in asked["prompts"]]
    return {"said": said, "n_parameters": model.num_parameters()}


def completed(model: Any, tokenizer: Any, prompt: str, n_tokens: int) -> dict[str, Any]:
    """The likeliest tokens after a prompt, up to the end token, and whether all logits on the way were finite."""
    import torch

    has_bos = prompt.startswith(tokenizer.bos_token or "\0")
    step = tokenizer(prompt, return_tensors="pt", add_special_tokens=not has_bos)["input_ids"]
    is_finite, past = True, None
    found: list[int] = []
    with torch.inference_mode():
        while len(found) < n_tokens and (not found or found[-1] != tokenizer.eos_token_id):
            out = model(step, past_key_values=past, use_cache=True)
            is_finite = is_finite and bool(out.logits.isfinite().all())
            step, past = out.logits[:, -1:].argmax(-1), out.past_key_values
            found.append(int(step))
    return {"is_finite": is_finite, "text": tokenizer.decode(found, skip_special_tokens=True)}


def main() -> None:
    """See the file's own words."""
    asked = json.load(sys.stdin)
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    tempfile.gettempdir()  # found by writing a file: afterwards, when a library asks, it is known
    limit(asked["memory"])
    try:
        answer = answers(asked)
    except Exception as error:  # whatever a library may raise at a folder
        answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:1000]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
