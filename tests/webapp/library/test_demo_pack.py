"""The bundled parents and the bundled benchmark."""

from __future__ import annotations

from django.contrib.auth.models import User

from merging.demo import BASE, EXPERTS
from merging.fit import fit
from merging.methods import methods
from merging.recipes import Parent as Ingredient
from webapp.library.actions import hide, install_demo_pack
from webapp.library.models import Benchmark, Parent
from webapp.runs.launching.drafts import Draft, plan
from webapp.runs.launching.measures import Measure
from webapp.runs.launching.presets import QUICK, STANDARD


def test_everybody_may_choose_the_demo_pack(member: User) -> None:
    install_demo_pack()
    names = set(Parent.objects.visible_to(member).values_list("name", flat=True))
    assert names == {f"demo/{skill}" for skill in (BASE, *EXPERTS)}
    assert Benchmark.objects.visible_to(member).filter(name="japanese-sums").exists()


def test_installing_again_changes_nothing_and_shows_nothing_that_was_hidden(member: User) -> None:
    install_demo_pack()
    hide(Parent.objects.get(name="demo/subtraction"))
    before = list(Parent.objects.values()), list(Benchmark.objects.values())
    install_demo_pack()
    assert (list(Parent.objects.values()), list(Benchmark.objects.values())) == before


def test_the_parents_of_the_demo_fit_each_other(db: None) -> None:
    install_demo_pack()
    base, *experts = (Ingredient(row.name, row.folder, row.fingerprint) for row in Parent.objects.order_by("id"))
    assert not fit(experts, base, methods.get("ties")).errors


def test_the_presets_can_be_launched_as_they_are(db: None) -> None:
    install_demo_pack()
    rows = {row.name: row for row in Parent.objects.all()}
    for preset in (QUICK, STANDARD):
        draft = Draft(
            parents=tuple(rows[name] for name in preset.parents),
            base=rows[preset.base or ""],
            measures=tuple(
                Measure(Benchmark.objects.get(name=chosen.benchmark), n_search=chosen.n_search)
                for chosen in preset.measures
            ),
            method=preset.method,
            groups=preset.groups,
            search=preset.search,
            budget=preset.budget,
            seed=preset.seed,
            population_size=preset.population_size,
        )
        assert plan(draft).config.budget == preset.budget
