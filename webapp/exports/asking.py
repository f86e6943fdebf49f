"""How a model is asked so that its answer is the one that was scored: a section of its card, with lines to copy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from merging.benchmarks.questions import QUESTION, Questions
from merging.benchmarks.scorers import ChoiceScorer
from merging.benchmarks.spec import BenchmarkSpec
from merging.errors import MergingError

HEADING: Final = "How to ask it"
YOURS: Final = "Put your question here."
AS_CHAT: Final = "one turn of a user in the model's own chat template"
AS_TEXT: Final = "plain text, no chat template"


def how_to_ask(specs: Iterable[BenchmarkSpec], is_gguf: bool = False) -> str:
    """Markdown: for every benchmark what the model reads, and, but for a GGUF file, lines for transformers that ask it so."""
    return "\n\n".join(_asked(spec, is_gguf) for spec in specs)


def _asked(spec: BenchmarkSpec, is_gguf: bool) -> str:
    name = " ".join(spec.name.split())
    try:
        benchmark = spec.load()
    except MergingError:
        return f"The benchmark `{name}` cannot be read here any more: how it asked is not known."
    if not isinstance(benchmark, Questions):
        return f"`{name}` is asked as lm-evaluation-harness asks its task."
    # only what anybody can read: the questions of a person's own file stay there
    question = benchmark.take("search", 1)[0].question if spec.kind == "builtin" else YOURS
    shown = _fenced("text", benchmark.prompt)
    way = AS_CHAT if benchmark.as_chat else AS_TEXT
    about = f"`{name}` asked it like this, with the question in place of `{QUESTION}`: {way}, greedily.\n\n{shown}"
    if benchmark.prompt.endswith("\n"):
        about += "\n\nThe line break after it belongs to it: without it the answer is another."
    if n := len(benchmark.shots):
        about += f"\n\nBefore it came {n} example{'s' if n > 1 else ''} with answers, asked the same way and parted by empty lines."
    if isinstance(benchmark.judge, ChoiceScorer):
        about += "\n\nIt was not asked to write: of the given choices the likeliest counted as its answer."
    return about if is_gguf else f"{about}\n\n{_fenced('python', snippet(benchmark, question))}"


def snippet(benchmark: Questions, question: str) -> str:
    """Python that asks a folder as the benchmark did, but for its examples."""
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        'folder = "."  # where this model lies, or its name on the Hub',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "model = AutoModelForCausalLM.from_pretrained(folder)",
        f"question = {question!r}",
        f"prompt = {benchmark.prompt!r}.replace({QUESTION!r}, question)",
    ]
    special = ""
    if benchmark.as_chat:
        lines += [
            'turns = [{"role": "user", "content": prompt}]',
            "prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)",
            "has_start = bool(tokenizer.bos_token) and prompt.startswith(tokenizer.bos_token)",
        ]
        special = ", add_special_tokens=not has_start"
    stop = f", stop_strings={list(benchmark.stop)!r}, tokenizer=tokenizer" if benchmark.stop else ""
    lines += [
        f'asked = tokenizer(prompt, return_tensors="pt"{special})["input_ids"]',
        f"told = model.generate(asked, max_new_tokens={benchmark.max_new_tokens}, do_sample=False{stop})",
        "print(tokenizer.decode(told[0, asked.shape[1]:], skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def _fenced(language: str, text: str) -> str:
    """A block whose fence no line of it can end."""
    fence = "`" * max(3, *(len(found) + 1 for found in re.findall("`+", text)), 3)
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}"
