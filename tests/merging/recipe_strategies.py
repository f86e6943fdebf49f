"""Recipes of every method and shape, for tests of what reads and writes recipes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from merging.methods import methods
from merging.methods.method import Method
from merging.parameters import Parameter
from merging.recipes import DTYPES, Companions, LayerGroup, Parent, Recipe, Source, layers_name

BASE, *PARENTS = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two", "three"))
FILTERS = ("self_attn", "mlp", "norm")
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }}\n{% endfor %}"


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    """A recipe whose groups all differ: what is told apart without a difference, a file need not tell apart."""
    method = draw(st.sampled_from(list(methods)))
    n = draw(st.integers(method.min_parents, min(method.max_parents or 3, 3)))
    base = BASE if method.base == "needed" or (method.base == "optional" and draw(st.booleans())) else None
    is_stack = draw(st.booleans())
    filters = FILTERS if method.per_parent() or method.per_group() else ()
    groups = draw(_stack(n, base, filters) if is_stack else _groups(filters))
    values = tuple(tuple(_distinct(p, method.per_parent(), i, k) for k in range(n)) for i, p in enumerate(groups))
    common = tuple(_distinct(g, method.per_group(), i, 0) for i, g in enumerate(groups))
    return Recipe(
        method=method.name,
        base=base,
        parents=tuple(PARENTS[:n]),
        groups=groups,
        values=values,
        settings=draw(_settings(method)),
        seed=draw(st.integers(0, 9)),
        dtype=draw(st.sampled_from(DTYPES)),
        shared=common if method.per_group() else (),
        companions=Companions(
            draw(st.sampled_from(["same", "first", "union", *(["base"] if base else [])])),
            draw(st.sampled_from(["", TEMPLATE])),
        ),
        as_mergekit=draw(st.sampled_from([None, *DTYPES])),
    )


@st.composite
def _groups(draw: st.DrawFn, filters: tuple[str, ...]) -> tuple[LayerGroup, ...]:
    """The whole model, or ranges of layers, each with filters or none."""
    if draw(st.booleans()):
        return tuple(draw(_filtered("model", 0, None, (), True, True, filters)))
    depths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    return _placed(draw, [(depth, ()) for depth in depths], filters)


@st.composite
def _stack(draw: st.DrawFn, n: int, base: Parent | None, filters: tuple[str, ...]) -> tuple[LayerGroup, ...]:
    """Ranges of layers, of all parents in one order, somewhere in their depth; none where it would be without."""
    depths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    starts = [[draw(st.integers(0, 5)) for _ in range(n + (base is not None))] for _ in depths]
    starts[0][0] += 1
    of_base = [None] if base else []
    sources = [tuple(Source(m, s) for m, s in zip([*range(n), *of_base], row, strict=True)) for row in starts]
    return _placed(draw, list(zip(depths, sources, strict=True)), filters)


def _placed(
    draw: st.DrawFn, ranges: list[tuple[int, tuple[Source, ...]]], filters: tuple[str, ...]
) -> tuple[LayerGroup, ...]:
    """The ranges after each other, with groups of embeddings of their own or without."""
    first, last = ranges[0][1], ranges[-1][1]
    ranges = [*([(0, first)] * draw(st.booleans())), *ranges, *([(0, last)] * draw(st.booleans()))]
    found: list[LayerGroup] = []
    start = 0
    for i, (depth, sources) in enumerate(ranges):
        name = layers_name(start, start + depth) if depth else "head" if start else "embeddings"
        found += draw(_filtered(name, start, start + depth, sources, i == 0, i == len(ranges) - 1, filters))
        start += depth
    return tuple(found)


@st.composite
def _filtered(
    draw: st.DrawFn,
    name: str,
    start: int,
    stop: int | None,
    sources: tuple[Source, ...],
    before: bool,
    after: bool,
    filters: tuple[str, ...],
) -> list[LayerGroup]:
    parts = [*draw(st.permutations(filters))[: draw(st.integers(0, 2))], ""]
    names = [f"{name} {part or 'rest'}" if len(parts) > 1 else name for part in parts]
    return [LayerGroup(one, start, stop, before, after, part, sources) for one, part in zip(names, parts, strict=True)]


def _distinct(group: LayerGroup, parameters: tuple[Parameter, ...], number: int, parent: int) -> dict[str, Any]:
    """Values that no other group has."""
    return {p.name: p.low + (p.high - p.low) * (1 + number * 3 + parent) / 64 for p in parameters}


@st.composite
def _settings(draw: st.DrawFn, method: Method) -> dict[str, float | bool]:
    flags = {p.name: draw(st.booleans()) for p in method.per_recipe() if p.kind == "flag"}
    return method.default_settings() | flags
