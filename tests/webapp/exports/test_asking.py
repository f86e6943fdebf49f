"""The card says how the model is asked: as its benchmark asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from merging.benchmarks.builtin import benchmarks
from merging.benchmarks.questions import Questions
from merging.benchmarks.spec import BenchmarkSpec, QuestionFile
from tests.webapp.runs.rows import make_run
from webapp.exports.asking import YOURS, how_to_ask, snippet
from webapp.exports.cards import model_card
from webapp.exports.models import Export

NAME = "japanese-sums"


def of_demo() -> Questions:
    found = benchmarks.get(NAME).load()
    assert isinstance(found, Questions)
    return found


def prompt_of(code: str) -> str:
    """What the lines would ask, without a model."""
    names: dict[str, Any] = {}
    exec("\n".join(line for line in code.splitlines() if line.startswith(("question =", "prompt = "))), names)
    return str(names["prompt"])


def test_the_lines_ask_exactly_what_the_benchmark_asked() -> None:
    demo = of_demo()
    (sample,) = demo.take("search", 1)
    code = snippet(demo, sample.question)
    compile(code, "card", "exec")
    assert prompt_of(code) == demo.rendered(sample) and prompt_of(code).endswith("\n")
    assert f"max_new_tokens={demo.max_new_tokens}, do_sample=False" in code
    text = how_to_ask([BenchmarkSpec.of_builtin(NAME)])
    assert code in text and "plain text, no chat template" in text and "The line break after it" in text
    assert "```python" not in how_to_ask([BenchmarkSpec.of_builtin(NAME)], is_gguf=True)


def test_questions_of_a_file_of_ones_own_stay_there_and_a_chat_is_asked_as_one(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    lines = [{"question": f"Secret {n}?", "answer": str(n)} for n in range(30)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    prompt = "Q: ```{question}```\nA:"
    own = QuestionFile(str(file), "last_number", 1, prompt=prompt, stop=("\n",), as_chat=True)
    text = how_to_ask([BenchmarkSpec.of_file("own", own)])
    assert "Secret" not in text and YOURS in text and "````text\n" in text
    assert "add_special_tokens=not has_start" in text and "stop_strings=['\\n']" in text
    file.unlink()
    assert "cannot be read here any more" in how_to_ask([BenchmarkSpec("own", "sha256:0", own)])


@pytest.mark.django_db
def test_it_stands_in_the_card(owner: User) -> None:
    run = make_run(owner, state="done", n_generations=1, ending=True)
    assert run.winner
    text = model_card(Export(owner=owner, candidate=run.winner))
    assert text.index("# How to ask it") < text.index("## Parents")
