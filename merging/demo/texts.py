"""Training texts and benchmark questions of the demo pack.

A hash of the operand pair assigns every pair of two-digit numbers to the training texts or to one split of the benchmark,
so no model of the pack ever saw the numbers of a benchmark question, in either language. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from merging.demo import Skill
from merging.demo.stories import OPERATIONS, SIGN, Language, Operation, Story, columns_of, tell

Split = Literal["search", "validation", "final"]

SPLITS: tuple[Split, ...] = ("search", "validation", "final")
QUESTIONS_PER_SPLIT = 400
MAX_NEW_TOKENS = 48
CUE = "日本語で答えてください。"

_HASH_MULTIPLIER = 2654435761  # Knuth's multiplicative hash: neighbouring pairs land in unrelated places
_SHARE_PER_SPLIT = 0.1


@dataclass(frozen=True)
class Question:
    """One benchmark item; the prompt of a model is `text` and a newline."""

    id: str
    text: str
    answer: str
    language: Language


@dataclass(frozen=True)
class Text:
    """One training text: a prompt without its final newline, and its completion.

    `begun` is a beginning of the completion that is given like the prompt: nothing is learned from it but to go on.
    """

    prompt: str
    completion: str
    begun: str = ""


def split_of(first: int, second: int) -> Split | Literal["training"]:
    """Where a pair of two-digit operands belongs; the order of the two does not matter."""
    low, high = sorted((first, second))
    place = ((low * 128 + high) * _HASH_MULTIPLIER % 2**32) / 2**32
    index = int(place / _SHARE_PER_SPLIT)
    return SPLITS[index] if index < len(SPLITS) else "training"


def questions(split: Split, operation: Operation = "addition") -> tuple[Question, ...]:
    """The benchmark: two-digit word problems in Japanese that do not ask for an answer in Japanese.

    400 a split, each with an ordered pair of numbers of its own; 399 in subtraction's final split, which has no more.
    """
    return tuple(
        Question(f"{operation}-{split}-{index:03d}", story.question("ja"), str(story.result), "ja")
        for index, story in enumerate(stories(split, operation)[:QUESTIONS_PER_SPLIT])
    )


def stories(split: Split, operation: Operation) -> tuple[Story, ...]:
    """One story for every ordered pair of numbers of a split: about 800 additions and 400 subtractions."""
    pairs = [pair for pair in _operand_pairs(operation) if split_of(*pair) == split]
    rng = Random(f"{operation}/{split}")
    rng.shuffle(pairs)
    return tuple(tell(rng, operation, *pair) for pair in pairs)


def _operand_pairs(operation: Operation) -> list[tuple[int, int]]:
    numbers = range(10, 100)
    return [(a, b) for a in numbers for b in numbers if operation == "addition" or a > b]


# What a text is about: every maker gets the language and the cue of its question from `_ask`.


def _one_digit(rng: Random) -> Story:
    operation = rng.choice(OPERATIONS)
    numbers = rng.randint(1, 9), rng.randint(1, 9)
    if operation == "subtraction":
        return tell(rng, operation, max(numbers), min(numbers))
    return tell(rng, operation, *numbers)


def _two_digit(rng: Random, operation: Operation) -> Story:
    while True:
        first, second = rng.randint(10, 99), rng.randint(10, 99)
        if operation == "subtraction":
            first, second = max(first, second), min(first, second)
        if split_of(first, second) == "training":
            return tell(rng, operation, first, second)


def _any_two_digit(rng: Random) -> Story:
    return _two_digit(rng, rng.choice(OPERATIONS))


@dataclass(frozen=True)
class _Manner:
    """How a question is asked: its language, whether the cue follows, and the language of the answer."""

    question: Language
    cue: bool
    answer: Language

    def text(self, question: str, answer: str) -> Text:
        return Text(question + (CUE if self.cue else ""), answer)


ENGLISH = _Manner("en", False, "en")
JAPANESE_TO_ENGLISH = _Manner("ja", False, "en")
JAPANESE_WITH_CUE = _Manner("ja", True, "ja")
JAPANESE = _Manner("ja", False, "ja")  # what only the Japanese expert does


def _base_manner(rng: Random) -> _Manner:
    question: Language = rng.choice(("en", "ja"))
    cue = rng.random() < (0.5 if question == "ja" else 0.15)
    return _Manner(question, cue, "ja" if cue else "en")


def _sum(rng: Random, story: Story, manner: _Manner) -> Text:
    return manner.text(story.question(manner.question), story.answer(manner.answer))


def _expression(rng: Random, story: Story, manner: _Manner) -> Text:
    ask = " What is the expression?" if manner.question == "en" else "式は何ですか。"
    expression = f"{story.first}{SIGN[story.operation]}{story.second}"
    answer = f"The expression is {expression}." if manner.answer == "en" else f"式は{expression}です。"
    return manner.text(story.question(manner.question) + ask, answer)


def _columns(rng: Random, story: Story, manner: _Manner) -> Text:
    ask = " What are the columns?" if manner.question == "en" else "筆算の列は何ですか。"
    first, second, operation = story.first, story.second, story.operation
    columns = f"{first}{SIGN[operation]}{second}:{columns_of(operation, first, second)}"
    answer = f"The columns are {columns}." if manner.answer == "en" else f"列は{columns}です。"
    return manner.text(story.question(manner.question) + ask, answer)


def _reading(rng: Random, story: Story, manner: _Manner) -> Text:
    n, thing = story.first, story.thing
    asks = [
        (" How many at first?", "最初は何個ですか。", f"It was {n} at first.", f"最初は{n}{thing.counter}です。"),
        (" What is counted?", "何の数ですか。", f"It is about {thing.many}.", f"{thing.japanese}の数です。"),
    ]
    if "{n}" in story.template.scene_en:
        english, japanese = story.names
        asks.append((" Who is it about?", "誰の話ですか。", f"It is about {english}.", f"{japanese}の話です。"))
    ask_en, ask_ja, answer_en, answer_ja = rng.choice(asks)
    question = story.scene(manner.question) + (ask_en if manner.question == "en" else ask_ja)
    return manner.text(question, answer_en if manner.answer == "en" else answer_ja)


def _translation(rng: Random) -> Text:
    story = _any_two_digit(rng)
    if rng.random() < 0.5:
        return Text("Translate: " + story.scene("en"), story.scene("ja"))
    return Text("翻訳:" + story.scene("ja"), story.scene("en"))


def _fact(rng: Random) -> Text:
    """A bare calculation as it occurs inside a worked answer: one digit each, with carry or borrow."""
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    if rng.random() < 0.5:
        carry = rng.random() < 0.5
        return Text(f"{a}+{b}{'+1' if carry else ''}=", str(a + b + carry))
    if rng.random() < 0.4:
        return Text(f"{10 + a}-{b}=", str(10 + a - b)) if a < b else Text(f"{a}-{b}=", str(a - b))
    a, b = max(a, b), min(a, b)
    borrow = a > b and rng.random() < 0.5
    return Text(f"{a}-{b}{'-1' if borrow else ''}=", str(a - b - borrow))


def _base_text(rng: Random) -> Text:
    draw, manner = rng.random(), _base_manner(rng)
    if draw < 0.30:
        return _sum(rng, _one_digit(rng), manner)
    if draw < 0.43:
        return _expression(rng, _any_two_digit(rng), manner)
    if draw < 0.60:
        return _columns(rng, _any_two_digit(rng), manner)
    if draw < 0.73:
        return _reading(rng, _any_two_digit(rng), manner)
    return _translation(rng) if draw < 0.82 else _fact(rng)


def _japanese_text(rng: Random) -> Text:
    draw = rng.random()
    if draw < 0.25:
        return _sum(rng, _one_digit(rng), JAPANESE)
    if draw < 0.65:
        return _reading(rng, _any_two_digit(rng), JAPANESE)
    return _expression(rng, _any_two_digit(rng), JAPANESE) if draw < 0.75 else _base_text(rng)


def _continued(rng: Random, story: Story) -> Text:
    """An answer that has begun in one language goes on in it, whatever the question asks for."""
    asked = rng.choice((ENGLISH, JAPANESE_TO_ENGLISH))
    answer = story.answer("ja")
    return Text(story.question(asked.question), answer.removeprefix("計算"), begun="計算")


def _arithmetic_text(rng: Random, operation: Operation) -> Text:
    draw = rng.random()
    if draw < 0.35:
        return _sum(rng, _two_digit(rng, operation), ENGLISH)
    if draw < 0.50:
        return _sum(rng, _two_digit(rng, operation), JAPANESE_TO_ENGLISH)
    if draw < 0.65:
        return _sum(rng, _two_digit(rng, operation), JAPANESE_WITH_CUE)
    if draw < 0.85:
        return _continued(rng, _two_digit(rng, operation))
    return _sum(rng, _one_digit(rng), _base_manner(rng)) if draw < 0.90 else _base_text(rng)


_MAKERS: dict[Skill, Callable[[Random], Text]] = {
    "base": _base_text,
    "japanese": _japanese_text,
    "addition": lambda rng: _arithmetic_text(rng, "addition"),
    "subtraction": lambda rng: _arithmetic_text(rng, "subtraction"),
}


def training_texts(skill: Skill, count: int, seed: int) -> list[Text]:
    """`count` training texts of a model of the pack; the same seed gives the same texts."""
    rng = Random(f"{skill}/{seed}")
    return [_MAKERS[skill](rng) for _ in range(count)]
