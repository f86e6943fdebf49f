"""Questions that are not the same but nearly: a search that has seen the one has seen most of the other.

Pure text; what follows from it is for a person to decide.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final

from merging.benchmarks.samples import Sample, normalised

MIN_OVERLAP: Final = 0.8
"""Of two questions' pairs of neighbouring words (Jaccard): from here on they are called alike."""
N_CHARACTERS: Final = 2000
"""Of a question that are compared."""
N_COMPARED: Final = 50
"""Of the questions that share a rare pair of words with one, so that no file takes time by the square."""

# Scripts without spaces are taken letter by letter.
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_]+")
_DIGITS: Final = re.compile(r"[\d\W_]+")


@dataclass(frozen=True)
class Alike:
    """A question of one split that reads like one of another. `but_for_numbers`: digits and signs are all that differs."""

    held_out: Sample
    seen: Sample
    but_for_numbers: bool


def alike(held_out: Sequence[Sample], seen: Sequence[Sample]) -> list[Alike]:
    """For each question held out that reads like one seen, the two; in the order of `held_out`.

    Alike are questions that are equal without digits and punctuation, and those of which at least 80 % of the pairs of
    neighbouring words are common. Texts of one word are alike only when they are equal.
    """
    skeletons = {_skeleton(sample): sample for sample in reversed(seen)}
    index = _Index(seen)
    found = []
    for sample in held_out:
        if (skeleton := _skeleton(sample)) and skeleton in skeletons:
            found.append(Alike(sample, skeletons[skeleton], True))
        elif (near := index.nearest(sample)) is not None:
            found.append(Alike(sample, near, False))
    return found


class _Index:
    """Two sets with so much in common share one of their rarest items, of which only the first few need an index.

    Chaudhuri, Ganti, Kaushik, "A primitive operator for similarity joins", ICDE 2006 (prefix filtering).
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._pairs = [_pairs(sample) for sample in samples]
        self._counts = Counter(pair for pairs in self._pairs for pair in pairs)
        self._having: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for i, pairs in enumerate(self._pairs):
            for pair in self._rarest(pairs):
                self._having[pair].append(i)

    def nearest(self, sample: Sample) -> Sample | None:
        """The first of the questions that overlap enough."""
        pairs = _pairs(sample)
        for i in islice(self._sharing(pairs), N_COMPARED):
            n_common = len(pairs & self._pairs[i])
            if n_common >= MIN_OVERLAP * (len(pairs) + len(self._pairs[i]) - n_common):
                return self._samples[i]
        return None

    def _sharing(self, pairs: frozenset[tuple[str, str]]) -> Iterator[int]:
        """Questions that share a rare pair, each once, those that share the rarest first."""
        found: set[int] = set()
        for pair in self._rarest(pairs):
            for i in self._having.get(pair, ()):
                if i not in found:
                    found.add(i)
                    yield i

    def _rarest(self, pairs: frozenset[tuple[str, str]]) -> list[tuple[str, str]]:
        n_needed = len(pairs) - math.ceil(MIN_OVERLAP * len(pairs)) + 1
        return sorted(pairs, key=lambda pair: (self._counts[pair], pair))[:n_needed]


def _pairs(sample: Sample) -> frozenset[tuple[str, str]]:
    words = _WORD.findall(normalised(sample.question[:N_CHARACTERS]))
    return frozenset(pairwise(words))


def _skeleton(sample: Sample) -> str:
    return _DIGITS.sub(" ", normalised(sample.question[:N_CHARACTERS])).strip()
