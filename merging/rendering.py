"""A program of its own that renders a model's chat template, by the library's own code, where it can do no harm.

A template is a program of a stranger's: its sandbox keeps it from files, and nothing keeps it from counting to 10^12 or from
a text of a gigabyte. So it runs here, started by `chats`, with little time and memory, and without the right to open anything.

In: `{"template", "words", "questions", "seconds", "memory", "characters"}` as JSON. Out: `{"rendered"}` or `{"error"}`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any


def rendered(render: Callable[..., Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Each question as one turn of a user."""
    left = asked["characters"]
    for question in asked["questions"]:
        turns = [{"role": "user", "content": question}]
        [text], _ = render(
            [turns],
            chat_template=asked["template"],
            add_generation_prompt=True,
            tools=None,
            documents=None,
            **asked["words"],
        )
        left -= len(text)
        if left < 0:
            raise ValueError(
                f"it makes more than {asked['characters']:,} characters of {len(asked['questions'])} questions"
            )
        yield text


def prepare(render: Callable[..., Any]) -> None:
    """Fail once: what Python imports at the first error cannot be opened later."""
    with suppress(Exception):
        render([[]], chat_template="{{ raise_exception('once') }}")


def limit(seconds: int, memory: int) -> None:
    """From here on: so many seconds of computing, so many bytes of memory, no file and no connection that is not open yet."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (end, end))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def main() -> None:
    """See the file's own words."""
    from transformers.utils.chat_template_utils import render_jinja_template

    asked = json.load(sys.stdin)
    prepare(render_jinja_template)
    limit(asked["seconds"], asked["memory"])
    answer: dict[str, object]
    try:
        answer = {"rendered": list(rendered(render_jinja_template, asked))}
    except MemoryError:
        answer = {"error": f"it needs more than {asked['memory'] // 2**20} MB of memory"}
    except Exception as error:  # a template may raise anything
        answer = {"error": f"{error}"[:1000] or type(error).__name__}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
