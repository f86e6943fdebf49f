"""A benchmark of choices for the demo pack: four workings of a sum, of which one is right and in Japanese."""

from random import Random

from merging.benchmarks.builtin import Builtin
from merging.benchmarks.questions import Questions
from merging.benchmarks.samples import SPLITS, Sample, Split
from merging.demo.stories import Language, Story, columns_of
from merging.demo.texts import MAX_NEW_TOKENS, QUESTIONS_PER_SPLIT, stories

NAME = "japanese-choices"
TITLE = "Japanese choices"
OFF_BY_ONE = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""What the units and the tens of a wrong working are off by."""


def load() -> Questions:
    """400 samples a split: sums that `japanese-sums` does not ask, of the same splits."""
    return Questions(
        name=NAME,
        title=TITLE,
        scorer_name="acc",
        language_gate=False,
        max_new_tokens=MAX_NEW_TOKENS,
        prompt="{question}\n",
        stop=(),
        samples={split: _samples(split) for split in SPLITS},
    )


def _samples(split: Split) -> tuple[Sample, ...]:
    rng = Random(f"choices/{split}")
    told = stories(split, "addition")[QUESTIONS_PER_SPLIT : 2 * QUESTIONS_PER_SPLIT]
    return tuple(_sample(rng, f"choices-{split}-{i:03d}", story) for i, story in enumerate(told))


def _sample(rng: Random, name: str, story: Story) -> Sample:
    right = story.answer("ja")
    choices = [right, _wrong(rng, story, "ja"), story.answer("en"), _wrong(rng, story, "en")]
    rng.shuffle(choices)
    return Sample(name, story.question("ja"), right, choices=tuple(choices))


def _wrong(rng: Random, story: Story, language: Language) -> str:
    """The worked answer with the sum of the units or of the tens off by one, and the result that follows."""
    units, tens = (sum(int(digit) for digit in column.split("+")) for column in _columns(story))
    off = rng.choice([(a, b) for a, b in OFF_BY_ONE if units + a >= 0 and tens + b >= 0])
    first, second = _columns(story)
    working = f"{story.first}+{story.second}:{first}={units + off[0]},{second}={tens + off[1]}"
    result = (tens + off[1]) * 10 + (units + off[0]) % 10
    if language == "en":
        return f"Work {working}.The answer is {result}."
    return f"計算{working}。答えは{result}{story.thing.counter}です。"


def _columns(story: Story) -> list[str]:
    return columns_of(story.operation, story.first, story.second).split(",")


BUILTIN = Builtin(
    name=NAME,
    title=TITLE,
    summary="Four workings of a sum, two right and two in Japanese. The one that a model finds likeliest has to be both.",
    load=load,
)
