"""mergekit's YAML: what goes out comes back, and what cannot be built as written is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import MergingError, RecipeError
from merging.genomes import GenomeSpace, parameter_space
from merging.mergekit import MAX_BYTES, from_yaml, to_yaml
from merging.methods import methods
from merging.recipes import WHOLE_MODEL, Parent, Recipe, passthrough_recipe, uniform_average

BASE, ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two"))
EVOLVED = [method.name for method in methods if method.per_parent()]


def parent_of(model: str) -> Parent:
    name = Path(model).name
    return Parent(name, f"/models/{name}", f"sha256:{name}")


def space(method: str, groups: str, tied: bool) -> GenomeSpace:
    return parameter_space(
        method=method,
        parents=(ONE, TWO),
        base=BASE if methods.get(method).needs_base else None,
        n_layers=4,
        groups=groups,
        settings=(),
        seed=9,
        dtype="bfloat16",
        tied_embeddings=tied,
    )


@pytest.mark.parametrize("method", EVOLVED)
@pytest.mark.parametrize("groups", ["model", "2", "block"])
@given(tied=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=6)
def test_every_recipe_of_a_space_comes_back(method: str, groups: str, tied: bool, seed: int) -> None:
    chosen = space(method, groups, tied)
    recipe = chosen.decode(tuple((i * 7 + seed) % 101 / 100 for i in range(chosen.n_genes)))
    assert from_yaml(to_yaml(recipe), parent_of, seed=9) == recipe


@pytest.mark.parametrize("recipe", [passthrough_recipe(ONE, "float16"), uniform_average((ONE, TWO))])
def test_recipes_without_a_space_come_back(recipe: Recipe) -> None:
    assert from_yaml(to_yaml(recipe), parent_of) == recipe


def test_one_group_is_a_list_of_models() -> None:
    found = yaml.safe_load(to_yaml(space("ties", "model", False).decode((0.5,) * 4)))
    assert found == {
        "merge_method": "ties",
        "base_model": "/models/base",
        "models": [
            {"model": "/models/one", "parameters": {"weight": 1.0, "density": 0.525}},
            {"model": "/models/two", "parameters": {"weight": 1.0, "density": 0.525}},
        ],
        "parameters": {"normalize": False, "lambda": 1.0},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }


def test_groups_of_embeddings_become_filters_beside_the_layers() -> None:
    chosen = space("task_arithmetic", "2", False)
    found = yaml.safe_load(to_yaml(chosen.decode((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))))
    first, last = (part["sources"] for part in found["slices"])
    assert first[0]["layer_range"] == [0, 2] and last[0]["layer_range"] == [2, 4]
    assert first[0]["parameters"]["weight"] == [{"filter": "embed_tokens", "value": 0.0}, {"value": 0.4}]
    assert [choice["value"] for choice in last[0]["parameters"]["weight"]] == [1.2, 1.2, 0.8]
    assert first[2] == {"model": "/models/base", "layer_range": [0, 2]}


def test_parents_can_be_called_by_name() -> None:
    assert "/models" not in to_yaml(space("ties", "block", False).origin, call=lambda parent: parent.name)


def test_nothing_in_the_file_is_an_alias() -> None:
    """Valid YAML, but no pleasure to read."""
    assert "&id" not in to_yaml(space("ties", "block", False).origin)


def read(text: str) -> Recipe:
    return from_yaml(text, parent_of)


def test_a_file_of_mergekit_s_manual_reads_with_mergekit_s_defaults() -> None:
    recipe = read(
        """
        models:
          - model: org/base
          - model: org/one
            parameters: {weight: 0.3}
          - model: org/two
        merge_method: ties
        base_model: org/base
        parameters: {weight: 0.5, int8_mask: true}
        dtype: float16
        """
    )
    assert recipe.groups == (WHOLE_MODEL,) and recipe.dtype == "float16" and recipe.base == BASE
    assert recipe.values == (({"weight": 0.3, "density": 1.0}, {"weight": 0.5, "density": 1.0}),)
    assert recipe.settings == {"normalize": True, "lambda": 1.0}


def test_layers_without_filters_take_what_is_beside_them() -> None:
    source = "{model: one, layer_range: [%d, %d], parameters: {weight: %s}}"
    slices = "".join(f"  - sources: [{source % bounds}]\n" for bounds in [(0, 1, 0.2), (1, 4, 0.8)])
    recipe = read(f"merge_method: linear\nslices:\n{slices}out_dtype: float32\n")
    assert [(g.start, g.stop, g.before, g.after) for g in recipe.groups] == [(0, 1, True, False), (1, 4, False, True)]


LINEAR = "merge_method: linear\ndtype: float32\nmodels: [{model: one, parameters: {weight: %s}}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "no YAML"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
        ("- 1", "expected an object"),
        ("merge_method: linear", "either models or slices"),
        ("merge_method: linea\nmodels: []", "Did you mean linear"),
        ("merge_method: linear\nmodels: []\ndtype: float32", "0 layer ranges"),
        ("merge_method: linear\ndtype: float32\nmodels: [{model: one}]", "weight of one is missing"),
        ("merge_method: linear\nmodels: [{model: one, parameters: {weight: 1}}]", "the dtype is None"),
        ("merge_method: linear\ncolour: red", "has colour, which cannot be built"),
        ("merge_method: linear\ntokenizer_source: org/x", "tokenizer_source is 'org/x'"),
        ("merge_method: linear\nmodels: [{parameters: {weight: 1}}]", "model in models"),
        ("merge_method: linear\nmodels: [{model: one, gamma: 1}]", "has gamma"),
        (LINEAR % "[0.1, 0.9]", "is a gradient over the layers"),
        (LINEAR % "[{filter: mlp, value: 1}, {value: 0}]", "has the filter 'mlp'"),
        (LINEAR % "[{filter: embed_tokens, value: 1}]", "no value for the rest"),
        (LINEAR % "[{filter: lm_head, value: 1}, {value: 0}]", "differs between model.norm and lm_head"),
        (LINEAR % "[{filter: embed_tokens, value: 1}, {value: 0}]", "filters need layer ranges"),
        (LINEAR % "much", "expected a finite number"),
        (LINEAR.replace("weight", "gamma") % "1", "have gamma for one"),
        (LINEAR % "1" + "\nparameters: {rescale: true}", "parameter rescale is True"),
        (LINEAR % "1" + "\nparameters: {normalize: 0.5}", "normalize of Linear is 0.5"),
        ("x" * (MAX_BYTES + 1), "expected at most"),
    ],
)
def test_what_cannot_be_built_as_written_is_refused(text: str, message: str) -> None:
    with pytest.raises(MergingError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([[(0, 2), (0, 2)], [(3, 4), (3, 4)]], "starts at layer 3; expected 2"),
        ([[(0, 2), (2, 4)]], "layers of different depth are not merged"),
    ],
)
def test_stacked_layers_are_refused(ranges: list[list[tuple[int, int]]], message: str) -> None:
    def source(name: str, bounds: tuple[int, int]) -> dict[str, object]:
        return {"model": name, "layer_range": list(bounds), "parameters": {"weight": 1}}

    slices = [{"sources": [source("one", a), source("two", b)]} for a, b in ranges]
    with pytest.raises(RecipeError, match=message):
        read(yaml.safe_dump({"merge_method": "linear", "slices": slices, "dtype": "float32"}))


def test_aliases_that_explode_are_refused_at_once() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
    )
    with pytest.raises(RecipeError, match="cannot be built as written"):
        read(bomb)
