"""Questions as turns in a model's chat template, which is a stranger's program: see `rendering`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from merging.errors import EvaluationError

PROGRAM: Final = Path(__file__).with_name("rendering.py")
SECONDS: Final = 2
"""Of computing, for all questions that are asked together, and one more for each `QUESTIONS_A_SECOND`."""
QUESTIONS_A_SECOND: Final = 200
"""An honest template takes a tenth of a millisecond for each."""
MEMORY: Final = 512 * 2**20
CHARACTERS: Final = 2**24
WAIT_SECONDS: Final = 300.0
"""By the clock: the program takes two seconds to start, and longer on a machine that is busy."""
INSTEAD: Final = "Ask the benchmark without the chat template, or mend it"


@lru_cache(maxsize=4)
def chats(template: str, words: str, questions: tuple[str, ...]) -> tuple[str, ...]:
    """Each question as one turn of a user. `words` are the tokenizer's special tokens by name, in JSON.

    Remembered: all candidates of a run ask the same. EvaluationError for a template that fails, does not end, or makes
    too much of it.
    """
    seconds = SECONDS + len(questions) // QUESTIONS_A_SECOND
    limits = {"seconds": seconds, "memory": MEMORY, "characters": CHARACTERS}
    found = _apart({"template": template, "words": json.loads(words), "questions": questions, **limits})
    if found is None:
        raise EvaluationError(f"the chat template does not end within {seconds} seconds of computing. {INSTEAD}")
    if "error" in found:
        raise EvaluationError(f"the chat template cannot take a single user's turn: {found['error']}. {INSTEAD}")
    rendered: list[str] = found["rendered"]
    return tuple(rendered)


def _apart(asked: Mapping[str, object]) -> dict[str, Any] | None:
    """What the program says; None when it was ended. It sees no environment of ours and imports nothing from where we are."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(PROGRAM)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            env={"HF_HUB_OFFLINE": "1", "USE_TORCH": "0"},
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode < 0:
        return None
    if done.returncode > 0:
        return {"error": f"the program that renders it ended: {done.stderr.strip().rpartition(chr(10))[2][:1000]}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
