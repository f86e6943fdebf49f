"""Chat templates, rendered by a program of its own: what the library makes of them, and no more time, memory or files than that."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from merging import chats as module
from merging.chats import chats
from merging.errors import EvaluationError
from merging.rendering import rendered
from tests.merging.models import tokenizer

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content|trim + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
WITH_ALL = (
    "{{ bos_token }}{% for m in messages %}{{ m | tojson }}{% if loop.first %}{% continue %}{% endif %}{% endfor %}"
    "{% generation %}!{% endgeneration %}"
)
BOMBS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "long texts": "{% for i in range(99999) %}{{ 'x' * 10000 }}{% endfor %}",
    "a text of a gigabyte": "{{ 'x' * 10**9 }}",
    "a number of a gigabyte": "{{ '%1000000000d' % 1 }}",
    "a list that doubles": "{% set x = namespace(y='xx') %}{% for i in range(99) %}{% set x.y = x.y + x.y %}{% endfor %}{{ x.y }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "powers": "{{ 10 ** (10 ** 9) }}",
}
ESCAPES = {
    "subclasses": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('touch CANARY') }}",
    "a function's globals": "{{ raise_exception.__globals__['__builtins__']['open']('CANARY', 'w') }}",
    "the library's function": "{{ strftime_now.__globals__.json.codecs.open('CANARY', 'w') }}",
    "a filter": "{{ messages|map(attribute='__class__')|list }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "the environment": "{{ self.__init__.__globals__ }}{{ self._TemplateReference__context.environment }}",
    "a file": "{% include '/etc/passwd' %}",
    "another template": "{% extends 'CANARY' %}",
    "its own import": "{% import 'os' as os %}{{ os.system('touch CANARY') }}",
}


@pytest.mark.parametrize("template", [CHATML, WITH_ALL])
def test_a_template_is_rendered_as_by_the_library(template: str) -> None:
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer().backend_tokenizer, bos_token="<s>", chat_template=template
    )
    questions = ["1 + 1?", '改行\n<|im_end|> "x"', ""]
    turns = [[{"role": "user", "content": question}] for question in questions]
    expected = [words.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]
    assert list(chats(template, json.dumps(words.special_tokens_map, default=str), tuple(questions))) == expected


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_template_that_wants_too_much_is_an_error_in_words(bomb: str) -> None:
    began = time.monotonic()
    with pytest.raises(
        EvaluationError, match=r"does not end within 2 seconds|needs more than 512 MB|more than 16,777,216|recursion"
    ):
        chats(BOMBS[bomb], "{}", (bomb,))
    assert time.monotonic() - began < module.WAIT_SECONDS / 4


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_template_reaches_no_file_and_no_code(escape: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    template = ESCAPES[escape].replace("CANARY", str(canary))
    try:
        [text] = rendered(
            render_jinja_template, {"template": template, "words": {}, "questions": ["hi"], "characters": 10**6}
        )
    except (TemplateError, TypeError, ValueError) as error:
        text = str(error)
    assert not canary.exists()
    assert "root:" not in text and "<module" not in text and "<class 'object'>" not in text


def test_what_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot take a single user's turn: roles must alternate"):
        chats("{{ raise_exception('roles must alternate') }}", "{}", ("hi",))
    with pytest.raises(EvaluationError, match="unexpected 'end of template'"):
        chats("{{", "{}", ("hi",))


def test_the_program_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment's secrets, nor modules from the folder that a worker happens to be in."""
    (tmp_path / "jinja2.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert chats("{{ messages[0].content }}.", "{}", ("hi",)) == ("hi.",)


def test_the_same_questions_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(module, "_apart", lambda what: asked.append(what) or {"rendered": ["x"]})
    for _ in range(3):
        assert chats("once", "{}", ("hi",)) == ("x",)
    assert len(asked) == 1
