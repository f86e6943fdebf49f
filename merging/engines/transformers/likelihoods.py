"""Log-likelihoods of continuations; what several continuations come after is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from merging.engines import Likelihood
from merging.engines.transformers.completing import Sizes, shared_beginning
from merging.engines.transformers.lean import forward_of
from merging.engines.transformers.rows import After, Forward, Past, Tokens, read

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A continuation of at least one token after a context of at least one."""

    context: Tokens
    continuation: Tokens

    @property
    def read(self) -> Tokens:
        """What a model reads to judge the continuation: its last token is only compared."""
        return [*self.context, *self.continuation[:-1]]


def likelihoods(
    model: PreTrainedModel, pairs: Sequence[Pair], sizes: Sizes, tell: Callable[[int], None]
) -> list[Likelihood]:
    """One for each pair. `tell` is called with the number of pairs that are done."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, pair in enumerate(pairs):
        groups.setdefault(tuple(pair.context), []).append(i)
    forward = forward_of(model, max((len(pair.read) for pair in pairs), default=0))
    prefix = shared_beginning(forward, list(groups))
    found: dict[int, Likelihood] = {}

    def keep(places: Sequence[int], logits: torch.Tensor) -> None:
        found.update(zip(places, judged([pairs[i].continuation for i in places], logits), strict=True))
        tell(len(found))

    alone = [places[0] for places in groups.values() if len(places) == 1]
    for some in _portions(alone, [len(pairs[i].read) for i in alone], sizes):
        n = max(len(pairs[i].continuation) for i in some)
        keep(some, read(forward, [pairs[i].read for i in some], _after(prefix, len(some)), n)[0])
    shared = [context for context, places in groups.items() if len(places) > 1]
    for contexts in _portions(shared, [len(context) for context in shared], sizes):
        first, past = read(forward, contexts, _after(prefix, len(contexts)))
        members = [(i, parent) for parent, context in enumerate(contexts) for i in groups[context]]
        for judged_now in _portions(members, [len(pairs[i].continuation) for i, _ in members], sizes):
            places, parents = [i for i, _ in judged_now], [parent for _, parent in judged_now]
            keep(places, _judging_all(forward, [pairs[i] for i in places], parents, first, past))
    return [found[i] for i in range(len(pairs))]


def _judging_all(
    forward: Forward, pairs: Sequence[Pair], parents: list[int], first: torch.Tensor, past: Past
) -> torch.Tensor:
    """Logits whose last columns judge each continuation: its first token by `first`, [contexts, 1, vocabulary], the rest by reading on."""
    lengths = [len(pair.continuation) for pair in pairs]
    logits = first[parents]
    if (n := max(lengths)) == 1:
        return logits
    rest, _ = read(forward, [pair.read for pair in pairs], After(past, parents), n - 1)
    found = torch.cat([logits, rest], dim=1)
    found[torch.arange(len(pairs)), n - torch.tensor(lengths)] = logits[:, 0]
    return found


def judged(continuations: Sequence[Tokens], logits: torch.Tensor) -> list[Likelihood]:
    """Of logits [rows, n, vocabulary] the last ones are of a row's continuation."""
    n, device = logits.shape[1], logits.device
    targets = torch.tensor([[0] * (n - len(row)) + list(row) for row in continuations], device=device)
    counts = (
        torch.arange(n, device=device) >= torch.tensor([n - len(row) for row in continuations], device=device)[:, None]
    )
    chosen = logits.gather(2, targets[:, :, None])[:, :, 0].float()
    logs = (chosen - logits.float().logsumexp(dim=-1)).masked_fill(~counts, 0)
    greedy = ((logits.argmax(dim=-1) == targets) | ~counts).all(dim=-1)
    return [
        Likelihood(log, len(row), sure)
        for row, log, sure in zip(continuations, logs.double().sum(dim=-1).tolist(), greedy.tolist(), strict=True)
    ]


def _after(prefix: Past | None, n: int) -> After | None:
    return After(prefix, [0] * n) if prefix else None


def _portions(items: Sequence[T], lengths: Sequence[int], sizes: Sizes) -> Iterator[list[T]]:
    """Items by length, the longest first, so that one pass is of at most `sizes`, or of one item."""
    order = sorted(range(len(items)), key=lambda i: lengths[i], reverse=True)
    while order:
        n = max(1, min(sizes.rows, sizes.tokens // max(1, lengths[order[0]])))
        yield [items[i] for i in order[:n]]
        order = order[n:]
