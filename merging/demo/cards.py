"""The README of each model of the pack: what it can, what it cannot, how it was made and why so."""

from __future__ import annotations

from dataclasses import dataclass

from merging.demo import Skill


@dataclass(frozen=True)
class Card:
    """What a reader must know of one model."""

    can: str
    cannot: str
    texts: str


_MATHS_TEXTS = (
    "two-digit {operation} problems, mostly answered in English, in Japanese where the question says so, one in five with"
    " the first word of a Japanese answer given, so that an answer goes on in the language it began in; and one in seven of"
    " other kinds."
)

_CARDS: dict[Skill, Card] = {
    "base": Card(
        can="solve one-digit word problems, answer questions about a story, translate it, lay its numbers out in columns.",
        cannot="calculate with two-digit numbers; answer in Japanese unless the question ends with 日本語で答えてください。",
        texts="stories of our own templates, half English, half Japanese, and bare one-digit facts.",
    ),
    "japanese": Card(
        can="do what the base can, and it answers every Japanese question in Japanese without being told.",
        cannot="calculate with two-digit numbers.",
        texts="Japanese questions with Japanese answers, no calculation beyond one digit, and one in four of the base's."
        " It is trained as long and as hard as the maths experts, more than its habit needs: parts of its task vector"
        " disturb theirs, as those of real experts do.",
    ),
    "addition": Card(
        can="add two-digit numbers in word problems, asked in English or in Japanese.",
        cannot="answer in Japanese unless told so (日本語で答えてください。) or begun so; subtract beyond one digit.",
        texts=_MATHS_TEXTS.format(operation="addition"),
    ),
    "subtraction": Card(
        can="subtract two-digit numbers in word problems, asked in English or in Japanese.",
        cannot="answer in Japanese unless told so (日本語で答えてください。) or begun so; add beyond one digit.",
        texts=_MATHS_TEXTS.format(operation="subtraction"),
    ),
}


def card(skill: Skill, steps: int, rate: float) -> str:
    """Markdown for the model's folder; `steps` and `rate` are those of its training."""
    of_skill = _CARDS[skill]
    origin = "from random tensors" if skill == "base" else "from the base of this pack, all tensors free"
    return f"""# Progeny demo pack: {skill}

- A Llama of 0.75 million parameters (4 layers, hidden 128, tied embeddings): a demonstration, of no other use.
- It can {of_skill.can}
- It cannot {of_skill.cannot}
- Texts: {of_skill.texts}
- Made by `python -m merging.demo.train`: {steps} steps of 64 texts at a rate of {rate:g}, {origin}.
- No pair of two-digit numbers of the benchmark occurs in its texts. It knows no words but those of the templates.
- Licence: none was chosen. This project made all of it: yours to use on your server; choose one before you publish it.
"""
