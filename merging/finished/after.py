"""What is asked of a model after it was written: that transformers loads the folder, and that it talks. No torch; `loading` runs apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from merging.errors import LoadError
from merging.finished.children import environment, last_line, run_apart
from merging.health import is_repeated

PROGRAM: Final = Path(__file__).with_name("loading.py")
N_TOKENS: Final = 24
START_SECONDS: Final = 300.0
"""To import and load; a busy machine takes long."""
BYTES_A_SECOND: Final = 5e6
"""Of the folder, at least: reading it, and some seventy passes through the model on one slow core."""
MEMORY: Final = 4 * 2**30
"""Of its own, beside the model."""
MIN_LETTERS: Final = 8


@dataclass(frozen=True)
class Said:
    """What the model said to a prompt. `concern` is "" where nothing is wrong with it."""

    prompt: str
    text: str
    concern: str

    def to_json(self) -> dict[str, str]:
        """Plain JSON types."""
        return asdict(self)


def check_after(folder: Path, prompts: Sequence[str], tick: Callable[[], None]) -> list[Said]:
    """Loads the folder in a process of its own and has it complete the prompts greedily.

    LoadError when it does not load. `tick` is called twice a second; what it raises ends the process.
    """
    n_bytes = sum(path.stat().st_size for path in folder.iterdir())
    asked = {"folder": str(folder), "prompts": list(prompts), "n_tokens": N_TOKENS, "memory": MEMORY + 2 * n_bytes}
    seconds = START_SECONDS + n_bytes / BYTES_A_SECOND
    command, seen = [sys.executable, "-I", str(PROGRAM)], environment("PATH", "OMP_NUM_THREADS")
    done = run_apart(command, json.dumps(asked), seconds, tick, seen)
    if done is None:
        raise LoadError(f"the finished folder was not loaded within {seconds / 60:.0f} minutes")
    if done.returncode:
        raise LoadError(f"the program that loads the finished folder ended: {last_line(done.stderr)}")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise LoadError(f"transformers does not load the finished folder: {answer['error']}")
    return [
        Said(prompt, one["text"], _concern(one["is_finite"], one["text"]))
        for prompt, one in zip(prompts, answer["said"], strict=True)
    ]


def _concern(is_finite: bool, text: str) -> str:
    letters = "".join(text.split())
    if not is_finite:
        return "some of its logits are not finite"
    if not letters:
        return "it says nothing"
    if is_repeated(text) or (len(letters) >= MIN_LETTERS and len(set(letters)) == 1):
        return "it repeats itself"
    return ""
