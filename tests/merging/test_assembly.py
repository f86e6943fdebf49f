"""From recipes to tensors: which group's values a tensor takes, rounding once, and independence of order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from merging import assembly
from merging.assembly import ANYWHERE, Place, TensorSource
from merging.elements import as_tensor
from merging.errors import RecipeError, TensorError
from merging.genomes import GenomeSpace, parameter_space
from merging.indexes import parent_facts
from merging.kernels.spectra import Spectra
from merging.plans import TensorJob, TensorOf, plan
from merging.recipes import Parent, Recipe, passthrough_recipe, uniform_average
from tests.merging.models import config, tensors

Jobs = Callable[[Recipe], tuple[TensorJob, ...]]
BASE, ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two"))


class Drawer:
    """A `TensorSource` of random tensors, the same for the same parent and name."""

    def __init__(self, dtype: torch.dtype = torch.float32, fill: float | None = None) -> None:
        self._dtype, self._fill = dtype, fill

    def tensor(self, parent: Parent, name: str) -> Tensor:
        drawn = tensors(config(), seed=["base", "one", "two"].index(parent.name))[name]
        return (drawn if self._fill is None else torch.full_like(drawn, self._fill)).to(self._dtype)


def assemble(
    recipe: Recipe, jobs: Sequence[TensorJob], source: TensorSource, place: Place = ANYWHERE
) -> Iterator[tuple[str, Tensor]]:
    """As torch's tensors."""
    for name, merged in assembly.assemble(recipe, jobs, source, place):
        yield name, as_tensor(merged)


def space(method: str = "dare_ties", groups: str = "block", dtype: str = "float32") -> GenomeSpace:
    return parameter_space(
        method=method, parents=(ONE, TWO), base=BASE, n_layers=3, groups=groups, settings=(), seed=4, dtype=dtype  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def jobs_of(relatives: dict[str, Parent]) -> Jobs:
    facts = parent_facts(relatives["base"].folder)
    return lambda recipe: plan(recipe, dict.fromkeys((BASE, ONE, TWO, *recipe.parents), facts))


def test_tensors_take_the_values_of_their_group(jobs_of: Jobs) -> None:
    groups = {job.name: job.group for job in jobs_of(space().origin)}
    assert groups["model.embed_tokens.weight"] == 0
    assert [groups[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(3)] == [1, 2, 3]
    assert groups["model.norm.weight"] == groups["lm_head.weight"] == 4
    assert len(groups) == 1 + 3 * 9 + 2


def test_one_group_takes_everything(jobs_of: Jobs) -> None:
    assert {job.group for job in jobs_of(passthrough_recipe(ONE))} == {0}


def test_groups_for_another_depth_are_refused(jobs_of: Jobs) -> None:
    recipe = parameter_space(
        method="linear", parents=(ONE,), base=None, n_layers=4, groups="2", settings=(), seed=0, dtype="float32"
    ).origin
    with pytest.raises(RecipeError, match="groups for 4 layers; one has 3"):
        jobs_of(recipe)


def test_a_group_s_weights_reach_its_tensors_only(jobs_of: Jobs) -> None:
    chosen = space("task_arithmetic")
    genome = tuple(1.0 if gene.group == "layer 1" and gene.parent == "one" else 0.0 for gene in chosen.genes)
    recipe = chosen.decode(genome)
    for name, merged in assemble(recipe, jobs_of(recipe), Drawer()):
        base, one = Drawer().tensor(BASE, name), Drawer().tensor(ONE, name)
        expected = base + 2 * (one - base) if ".layers.1." in name else base
        assert torch.allclose(merged, expected, rtol=0, atol=1e-6), name


@pytest.mark.parametrize("method", ["dare_ties", "ties"])
def test_the_order_of_tensors_changes_no_bit(jobs_of: Jobs, method: str) -> None:
    recipe = space(method).origin
    jobs = list(jobs_of(recipe))
    in_order = dict(assemble(recipe, jobs, Drawer()))
    random.Random(1).shuffle(jobs)
    shuffled = dict(assemble(recipe, jobs, Drawer()))
    assert all(torch.equal(in_order[name], shuffled[name]) for name in in_order)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_arithmetic_is_float32_and_rounds_once(jobs_of: Jobs, dtype: str) -> None:
    recipe = space("task_arithmetic", dtype=dtype).origin
    exact = replace(recipe, dtype="float32")
    stored = Drawer(getattr(torch, dtype))
    for (_, rounded), (_, full) in zip(
        assemble(recipe, jobs_of(recipe), stored), assemble(exact, jobs_of(exact), stored), strict=True
    ):
        assert rounded.dtype == getattr(torch, dtype) and torch.equal(rounded, full.to(rounded.dtype))


def test_a_parent_as_it_is_keeps_every_bit(jobs_of: Jobs) -> None:
    recipe = passthrough_recipe(ONE, "bfloat16")
    stored = Drawer(torch.bfloat16)
    assert all(
        torch.equal(merged, stored.tensor(ONE, name)) for name, merged in assemble(recipe, jobs_of(recipe), stored)
    )


def test_the_average_of_a_parent_with_its_copy_is_the_parent(jobs_of: Jobs) -> None:
    recipe = uniform_average((ONE, replace(ONE, name="two")))

    class Same(Drawer):
        def tensor(self, parent: Parent, name: str) -> Tensor:
            return super().tensor(ONE, name)

    assert all(
        torch.equal(merged, Drawer().tensor(ONE, name)) for name, merged in assemble(recipe, jobs_of(recipe), Same())
    )


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 1e30])
def test_a_merge_that_is_not_finite_is_refused_by_name(jobs_of: Jobs, fill: float) -> None:
    recipe: Recipe = passthrough_recipe(ONE, "float16")
    with pytest.raises(TensorError, match=r"model.embed_tokens.weight is not finite after merging: Passthrough: one"):
        next(assemble(recipe, jobs_of(recipe), Drawer(fill=fill)))


def test_nothing_is_merged_before_it_is_asked_for() -> None:
    merged = assemble(
        passthrough_recipe(ONE), [TensorJob("no.such.tensor", 0, (TensorOf(ONE, "no.such.tensor"),), None)], Drawer()
    )
    with pytest.raises(KeyError):
        next(merged)


@pytest.mark.parametrize("method", ["ties", "dare_ties", "task_arithmetic"])
def test_a_merge_in_place_is_the_same_merge(jobs_of: Jobs, method: str) -> None:
    recipe = space(method, dtype="bfloat16").origin
    jobs, stored, spectra = jobs_of(recipe), Drawer(torch.bfloat16), Spectra()
    expected = dict(assemble(recipe, jobs, stored))
    targets = {name: torch.full(merged.shape, torch.nan) for name, merged in expected.items()}
    for _ in range(2):  # counted, and from what was counted
        for name, merged in assemble(recipe, jobs, stored, Place(targets, spectra)):
            assert merged is targets[name] and torch.equal(merged, expected[name].float())


@pytest.mark.parametrize("target", [torch.ones(3), torch.ones(16, dtype=torch.float16), torch.ones(16, 2)[:, 0]])
def test_a_target_that_does_not_fit_is_left_alone(jobs_of: Jobs, target: Tensor) -> None:
    recipe, name, before = space("ties", dtype="bfloat16").origin, "model.norm.weight", target.clone()
    jobs = [job for job in jobs_of(recipe) if job.name == name]
    ((_, merged),) = assemble(recipe, jobs, Drawer(), Place({name: target}))
    assert merged.shape == (16,) and merged.dtype == torch.bfloat16 and torch.equal(target, before)


def test_a_merge_in_place_that_is_not_finite_is_refused_by_name(jobs_of: Jobs) -> None:
    recipe = space("ties").origin
    jobs = [job for job in jobs_of(recipe) if job.name == "model.norm.weight"]
    with pytest.raises(TensorError, match=r"model.norm.weight is not finite after merging"):
        list(assemble(recipe, jobs, Drawer(fill=float("nan")), Place({"model.norm.weight": torch.ones(16)})))
