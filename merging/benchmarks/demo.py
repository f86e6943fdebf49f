"""The demo pack's benchmark: sums told in Japanese, to be answered rightly and in Japanese."""

from merging.benchmarks.builtin import Builtin
from merging.benchmarks.questions import Questions
from merging.benchmarks.samples import SPLITS, Sample, Split
from merging.demo.texts import MAX_NEW_TOKENS, questions

NAME = "japanese-sums"
TITLE = "Japanese sums"


def load() -> Questions:
    """400 samples a split, with operands that no other split and no training text of the pack shares."""
    return Questions(
        name=NAME,
        title=TITLE,
        scorer_name="last_number",
        language_gate=True,
        max_new_tokens=MAX_NEW_TOKENS,
        prompt="{question}\n",
        stop=(),
        samples={split: _samples(split) for split in SPLITS},
    )


def _samples(split: Split) -> tuple[Sample, ...]:
    return tuple(Sample(asked.id, asked.text, asked.answer, asked.language) for asked in questions(split))


BUILTIN = Builtin(
    name=NAME,
    title=TITLE,
    summary="Two-digit sums as word problems in Japanese. Right counts only in Japanese, although no question asks for it.",
    load=load,
)
