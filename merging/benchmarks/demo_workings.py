"""A benchmark of free answers for the demo pack: differences told in Japanese, scored by how much of the working is said."""

from merging.benchmarks.builtin import Builtin
from merging.benchmarks.questions import Questions
from merging.benchmarks.samples import SPLITS, Sample, Split
from merging.demo.texts import MAX_NEW_TOKENS, QUESTIONS_PER_SPLIT, stories

NAME = "japanese-workings"
TITLE = "Japanese workings"


def load() -> Questions:
    """About 400 samples a split, with operands that no other split and no training text of the pack shares."""
    return Questions(
        name=NAME,
        title=TITLE,
        scorer_name="rougeL",
        language_gate=False,
        max_new_tokens=MAX_NEW_TOKENS,
        prompt="{question}\n",
        stop=(),
        samples={split: _samples(split) for split in SPLITS},
    )


def _samples(split: Split) -> tuple[Sample, ...]:
    told = stories(split, "subtraction")[:QUESTIONS_PER_SPLIT]
    return tuple(
        Sample(f"workings-{split}-{i:03d}", story.question("ja"), story.answer("ja")) for i, story in enumerate(told)
    )


BUILTIN = Builtin(
    name=NAME,
    title=TITLE,
    summary="Two-digit differences as word problems in Japanese. Scored by how much of the worked answer the model gives, step by step.",
    load=load,
)
