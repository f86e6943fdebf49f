"""mergekit's random numbers: torch's generator on a CPU, and the probabilities that are drawn with it. No torch.

The generator is the Mersenne Twister MT19937, which `kernels.loops.draw_mask` reads on; torch is needed only where its own
operations draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from merging.elements import rounded
from merging.errors import TensorError
from merging.recipes import Dtype

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MT_WORDS: Final = 624
"""Of the generator's state."""


class PeerDraws:
    """The random numbers of a whole merge: torch's CPU generator, seeded once, as with `--random-seed`.

    `words` are its state and `place` is that of the next one; `MT_WORDS` when all have been used. Whoever uses words says so.
    """

    def __init__(self, seed: int) -> None:
        """Matsumoto and Nishimura, `init_genrand` of 2002; torch takes 32 bits of a seed."""
        words = [seed & 0xFFFFFFFF]
        for i in range(1, MT_WORDS):
            words.append((1812433253 * (words[-1] ^ (words[-1] >> 30)) + i) & 0xFFFFFFFF)
        self.words: NDArray[np.uint32] = np.array(words, np.uint32)
        self.place = MT_WORDS

    def keep(self, shares: Tensor) -> Tensor:
        """1 with each element's own probability, else 0, in the dtype of `shares`. Imports torch."""
        import torch

        generator = self._generator()
        kept = torch.bernoulli(shares.cpu(), generator=generator).to(shares.device)
        self._went_on(generator)
        return kept

    def places(self, n: int, count: int) -> Tensor:
        """`count` whole numbers below n. Imports torch."""
        import torch

        generator = self._generator()
        found = torch.randint(n, (count,), generator=generator)
        self._went_on(generator)
        return found

    def _generator(self) -> torch.Generator:
        """Torch's own, in this state: the seed, how many words are left, the next one's place, and all words, in 64 bits each."""
        import torch

        generator = torch.Generator()
        state = generator.get_state()
        fields = state.numpy().view(np.uint64)
        fields[1:2].view(np.int32)[0] = MT_WORDS + 1 - self.place
        fields[2], fields[3 : 3 + MT_WORDS] = self.place, self.words
        generator.set_state(state)
        return generator

    def _went_on(self, generator: torch.Generator) -> None:
        fields = generator.get_state().numpy().view(np.uint64)
        n_left = int(fields[1:2].view(np.int32)[0])
        self.words, self.place = fields[3 : 3 + MT_WORDS].astype(np.uint32), MT_WORDS + 1 - n_left


def shares_by_rank(n: int, density: float, epsilon: float, dtype: Dtype) -> NDArray[np.float32]:
    """The probability of staying of each rank, from 0, in a row of n; every step rounds to the dtype, in which ranks are
    numbers too, so bfloat16 has few of them. [n]
    """
    if density + epsilon >= 1 or density - epsilon <= 0:
        raise TensorError(f"density {density:g} with epsilon {epsilon:g} leaves (0, 1), which mergekit refuses")
    if n < 2:
        raise TensorError("mergekit cannot rank a row of one element: della needs wider tensors, or our own rules")
    ranks = rounded(rounded(np.arange(n, dtype=np.float32), dtype) + np.float32(1), dtype)
    span = rounded(ranks - ranks[0], dtype)
    share = rounded(span / span[-1], dtype)
    spread = rounded(rounded(share * np.float32(2), dtype) * np.float32(epsilon), dtype)
    least = rounded(np.array([density - epsilon], np.float32), dtype)
    return rounded(least + spread, dtype)
