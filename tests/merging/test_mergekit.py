"""mergekit's YAML: what goes out comes back, and what cannot be built as written is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from merging.errors import MergingError, RecipeError
from merging.genomes import GenomeSpace, nothing_to_search, parameter_space
from merging.mergekit import from_yaml, to_yaml
from merging.methods import methods
from merging.recipes import (
    WHOLE_MODEL,
    Companions,
    LayerGroup,
    Parent,
    Recipe,
    Source,
    passthrough_recipe,
    uniform_average,
)
from tests.merging.recipe_strategies import recipes

BASE, ONE, TWO = (Parent(name, f"/models/{name}", f"sha256:{name}") for name in ("base", "one", "two"))
EVOLVED = [method.name for method in methods if not nothing_to_search(method)]


IN_LAYER = (
    "input_layernorm",
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    "post_attention_layernorm",
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)
TENSORS = (
    "model.embed_tokens.weight",
    *(f"model.layers.{layer}.{name}.weight" for layer in range(4) for name in IN_LAYER),
    "model.norm.weight",
    "lm_head.weight",
)


@dataclass(frozen=True)
class Facts:
    """What is known of all models here."""

    n_layers: int = 4
    tensors: tuple[str, ...] = TENSORS
    dtype: str = "bfloat16"


def parent_of(model: str) -> Parent:
    name = Path(model).name
    return Parent(name, f"/models/{name}", f"sha256:{name}")


def read(text: str, facts: Facts = Facts(), seed: int = 0) -> Recipe:
    return from_yaml(text, parent_of, seed, lambda parent: facts)


def again(recipe: Recipe, facts: Facts = Facts()) -> Recipe:
    """What comes back of a recipe that was not imported: mergekit's dtype is that of our arithmetic."""
    found = read(to_yaml(recipe), facts, recipe.seed)
    assert found.as_mergekit == (recipe.as_mergekit or "float32")
    return replace(found, as_mergekit=recipe.as_mergekit)


def space(method: str, groups: str, tied: bool) -> GenomeSpace:
    n_parents = methods.get(method).max_parents
    return parameter_space(
        method=method,
        parents=(ONE, TWO)[:n_parents],
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
    assert again(recipe) == recipe


@given(recipe=recipes())
@settings(max_examples=150)
def test_every_recipe_comes_back(recipe: Recipe) -> None:
    """Of any method, with groups, filters, stacked layers, settings and companions."""
    assert again(recipe, Facts(n_layers=recipe.n_layers or 4)) == recipe


@pytest.mark.parametrize("recipe", [passthrough_recipe(ONE, "float16"), uniform_average((ONE, TWO))])
def test_recipes_without_a_space_come_back(recipe: Recipe) -> None:
    assert again(recipe) == recipe


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


def test_groups_of_embeddings_are_slices_without_layers() -> None:
    """mergekit takes what lies before all layers from the first slice, and what lies after them from the last."""
    chosen = space("task_arithmetic", "2", False)
    found = yaml.safe_load(to_yaml(chosen.decode((0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))))
    firsts = [part["sources"][0] for part in found["slices"]]
    assert [source["layer_range"] for source in firsts] == [[0, 0], [0, 2], [2, 4], [4, 4]]
    assert [source["parameters"]["weight"] for source in firsts] == [0.0, 0.4, 0.8, 1.2]


def test_groups_with_filters_are_lists() -> None:
    groups = tuple(replace(WHOLE_MODEL, name=f"model {part or 'rest'}", filter=part) for part in ("mlp", ""))
    recipe = Recipe("slerp", None, (ONE, TWO), groups, (({}, {}),) * 2, {}, 0, "float32", ({"t": 0.2}, {"t": 0.7}))
    found = yaml.safe_load(to_yaml(recipe))
    assert found["parameters"] == {"t": [{"filter": "mlp", "value": 0.2}, {"value": 0.7}]}
    assert found["base_model"] == "/models/one" and again(recipe) == recipe


def test_parents_can_be_called_by_name() -> None:
    assert "/models" not in to_yaml(space("ties", "block", False).origin, call=lambda parent: parent.name)


def test_nothing_in_the_file_is_an_alias() -> None:
    """Valid YAML, but no pleasure to read."""
    assert "&id" not in to_yaml(space("ties", "block", False).origin)


def test_what_mergekit_does_differently_stands_at_the_top() -> None:
    first = to_yaml(space("dare_ties", "model", False).origin).splitlines()
    assert first[0] == "# mergekit takes its seed on the command line: --random-seed 9"
    assert first[1].startswith("# mergekit draws what is dropped in its own way")
    assert to_yaml(uniform_average((ONE, TWO))).startswith("merge_method")


STACK = (
    LayerGroup("layers 0-1", 0, 2, True, False, sources=(Source(0, 0), Source(1, 2))),
    LayerGroup("layer 2 layers.2", 2, 3, False, True, "layers.2", (Source(1, 0), Source(0, 1))),
    LayerGroup("layer 2", 2, 3, False, True, "", (Source(1, 0), Source(0, 1))),
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parents": (replace(ONE, folder="/models/one+two"), TWO)}, "divides a model from its adapter"),
        ({"parents": (replace(ONE, folder="/models/one@v1"), TWO)}, "divides a model from its adapter"),
        ({"companions": Companions(chat_template="plain")}, "the name of one of its own"),
        (
            {"groups": STACK, "values": (({}, {}),) * 3, "shared": ({"t": 0.2},) * 3},
            "from one base model, here from one and two",
        ),
        (
            {"method": "karcher", "groups": STACK, "values": (({}, {}),) * 3, "shared": ()},
            "looks for the filter 'layers.2' in other names",
        ),
        (
            {
                "method": "karcher",
                "groups": (replace(STACK[0], sources=(Source(0, 0),)), STACK[2]),
                "values": (({},), ({}, {})),
                "shared": (),
            },
            "after the layers from 1 models, as many as its first slice has, here from 2",
        ),
    ],
)
def test_what_mergekit_cannot_be_told_is_said(changes: dict[str, Any], message: str) -> None:
    recipe = Recipe("slerp", None, (ONE, TWO), (WHOLE_MODEL,), (({}, {}),), {}, 0, "float32", ({"t": 0.2},))
    if "method" in changes:
        changes = changes | {"settings": {"max_iter": 10.0, "tol": 1e-5}}
    with pytest.raises(RecipeError, match=message):
        to_yaml(replace(recipe, **changes))


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
    assert recipe.groups == (WHOLE_MODEL,) and recipe.dtype == recipe.as_mergekit == "float16" and recipe.base == BASE
    assert recipe.values == (({"weight": 0.3, "density": 1.0}, {"weight": 0.5, "density": 1.0}),)
    assert recipe.settings == {"normalize": True, "lambda": 1.0}


def rows(recipe: Recipe) -> list[tuple[Any, ...]]:
    """Each group as (start, stop, filter, what it is told)."""
    shared = recipe.shared or ({},) * len(recipe.groups)
    told = zip(recipe.groups, recipe.values, shared, strict=True)
    return [(g.start, g.stop, g.filter, *(tuple(v.values()) for v in row), *of.values()) for g, row, of in told]


def test_a_gradient_gives_every_layer_its_own_value() -> None:
    """Steps lie at equal distances over the depth; what is before the layers and after them is at depth 0."""
    recipe = read("merge_method: passthrough\nmodels: [{model: one, parameters: {scale: [0, 1, 3]}}]\ndtype: float32")
    assert rows(recipe) == [
        (0, 1, "", (0.0,)),
        (1, 2, "", (pytest.approx(2 / 3),)),
        (2, 3, "", (pytest.approx(5 / 3),)),
        (3, 4, "", (3.0,)),
        (4, 4, "", (0.0,)),
    ]


def test_filters_with_gradients_are_groups_of_each_layer() -> None:
    recipe = read(
        """
        slices:
          - sources:
              - {model: two, layer_range: [0, 4]}
              - {model: one, layer_range: [0, 4]}
        merge_method: slerp
        base_model: one
        parameters:
          t:
            - {filter: self_attn, value: [0, 1]}
            - {filter: mlp, value: [1, 1, 0, 0]}
            - value: 0.5
        dtype: bfloat16
        """
    )
    assert [parent.name for parent in recipe.parents] == ["one", "two"]
    assert [row[2:] for row in rows(recipe) if row[:2] == (3, 4)] == [
        ("self_attn", (), (), 1.0),
        ("mlp", (), (), 0.0),
        ("", (), (), 0.5),
    ]
    assert [row[2:] for row in rows(recipe) if row[0] == 4] == [
        ("self_attn", (), (), 0.0),
        ("mlp", (), (), 1.0),
        ("", (), (), 0.5),
    ]
    assert len(recipe.groups) == 5 * 3 and not recipe.is_stack


def test_the_source_counts_before_the_slice_and_the_slice_before_the_file() -> None:
    """A list without a value for the rest leaves the rest to the next level."""
    recipe = read(
        """
        merge_method: linear
        parameters: {weight: 3}
        slices:
          - sources:
              - {model: one, layer_range: [0, 2], parameters: {weight: [{filter: mlp, value: 1}]}}
              - {model: two, layer_range: [0, 2]}
            parameters: {weight: {filter: norm, value: 2}}
          - sources: [{model: one, layer_range: [2, 4]}, {model: two, layer_range: [2, 4]}]
        dtype: float32
        """
    )
    assert rows(recipe) == [
        (0, 2, "norm", (2.0,), (2.0,)),
        (0, 2, "mlp", (1.0,), (3.0,)),
        (0, 2, "", (3.0,), (3.0,)),
        (2, 4, "", (3.0,), (3.0,)),
    ]


OVERLAP = """
merge_method: linear
dtype: float32
models:
  - model: one
    parameters: {weight: [{filter: self_attn, value: 1}, {value: 0}]}
  - model: two
    parameters: {weight: [{filter: %s, value: 5}, {value: 4}]}
"""


@pytest.mark.parametrize("part", ["q_proj", "proj.weight", "layers.1.", "norm", "model"])
def test_filters_that_overlap_give_every_tensor_its_own_values(part: str) -> None:
    recipe = read(OVERLAP % part)
    for name in Facts().tensors:
        number = next(i for i, group in enumerate(recipe.groups) if group.filter in name)
        expected = ({"weight": float("self_attn" in name)}, {"weight": 5.0 if part in name else 4.0})
        assert recipe.values[number] == expected, name


def test_layers_are_stacked_with_different_models_and_repeated() -> None:
    recipe = read(
        """
        merge_method: passthrough
        slices:
          - sources: [{model: one, layer_range: [0, 3]}]
          - sources: [{model: two, layer_range: [1, 4], parameters: {scale: [{filter: o_proj, value: 0.5}]}}]
          - sources: [{model: two, layer_range: [1, 4]}]
        dtype: float16
        """
    )
    assert [group.sources for group in recipe.groups] == [(Source(0, 0),), *((Source(1, 1),),) * 3]
    assert [row[:3] for row in rows(recipe)] == [(0, 3, ""), (3, 6, "o_proj"), (3, 6, ""), (6, 9, "")]
    assert recipe.n_layers == 9 and recipe.groups[0].before and recipe.groups[-1].after


def test_some_of_the_layers_are_a_stack_too() -> None:
    text = "merge_method: passthrough\ndtype: float32\nslices: [{sources: [{model: one, layer_range: [0, 3]}]}]"
    assert read(text).groups[0].sources == (Source(0, 0),)
    assert read(text, Facts(n_layers=3)).groups[0].sources == ()


def test_a_base_model_is_stacked_beside_its_parents() -> None:
    recipe = read(
        """
        merge_method: task_arithmetic
        base_model: base
        parameters: {weight: 1, density: 0.3}
        slices:
          - sources: [{model: base, layer_range: [0, 2]}, {model: one, layer_range: [1, 3]}]
          - sources: [{model: two, layer_range: [0, 2]}, {model: base, layer_range: [2, 4]}]
        dtype: float32
        """
    )
    assert [group.sources for group in recipe.groups] == [
        (Source(0, 1), Source(None, 0)),
        (Source(1, 0), Source(None, 2)),
    ]


def test_a_gradient_over_a_stacked_slice_keeps_each_layer_at_its_place() -> None:
    """Every layer is a group of its own then, and starts where the slice starts plus its depth there."""
    recipe = read(
        """
        merge_method: slerp
        base_model: one
        slices:
          - sources: [{model: one, layer_range: [0, 1]}, {model: two, layer_range: [0, 1]}]
          - sources: [{model: one, layer_range: [0, 3]}, {model: two, layer_range: [1, 4]}]
        parameters: {t: [0.1, 0.3]}
        dtype: float32
        """
    )
    layers = {group.start: group.sources for group in recipe.groups if group.start != group.stop}
    assert layers == {0: (Source(0, 0), Source(1, 0))} | {1 + i: (Source(0, i), Source(1, 1 + i)) for i in range(3)}
    assert [shared["t"] for shared in recipe.shared] == pytest.approx([0.1, 0.3, 0.1, 0.2, 0.3, 0.1])


LINEAR = "merge_method: linear\ndtype: float32\nmodels: [{model: one, parameters: {weight: %s}}]"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "same"),
        ("tokenizer_source: union", "union"),
        ("tokenizer_source: base", "base"),
        ("tokenizer_source: base", "base"),
        ("tokenizer_source: one", "first"),
        ("tokenizer: {source: base}", "base"),
        ("tokenizer: {}", "union"),
        ("tokenizer: {source: one, tokens: {}, pad_to_multiple_of: null}", "first"),
    ],
)
def test_the_tokenizer_is_that_of_the_file(line: str, expected: str) -> None:
    text = "merge_method: ties\nbase_model: base\nparameters: {weight: 1}\nmodels: [{model: one}]\ndtype: float32\n"
    assert read(text + line).companions.tokenizer == expected


def test_a_chat_template_is_kept_as_it_is() -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert read(LINEAR % 1 + f"\nchat_template: '{template}'").companions.chat_template == template


def test_without_a_dtype_tensors_stay_as_they_are() -> None:
    recipe = read((LINEAR % 1).replace("dtype: float32\n", ""))
    assert recipe.dtype == recipe.as_mergekit == "bfloat16"


def test_models_of_several_dtypes_need_one_to_merge_in() -> None:
    text = "merge_method: linear\nparameters: {weight: 1}\nmodels: [{model: one}, {model: two}]"
    dtypes = {ONE: Facts(dtype="float16"), TWO: Facts(dtype="bfloat16")}
    with pytest.raises(RecipeError, match="dtype is missing, and the models have bfloat16 and float16"):
        from_yaml(text, parent_of, 0, dtypes.__getitem__)


SLICE = "merge_method: linear\ndtype: float32\nparameters: {weight: 1}\nslices:\n  - sources: %s"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("merge_method: linear", "either models or slices"),
        ("merge_method: linear\nmodels: []\nslices: []", "either models or slices"),
        ("merge_method: linea\nmodels: []", "Did you mean linear"),
        ("merge_method: linear\nmodels: []\ndtype: float32", "Linear takes 1 or more parents, found 0"),
        ("merge_method: linear\ndtype: float32\nmodels: [{model: one}]", "weight of one is missing in models"),
        ("merge_method: linear\ncolour: red", "has colour, which cannot be built"),
        ("merge_method: linear\nmodules: {}", "has modules, which cannot be built"),
        (LINEAR % 1 + "\ntokenizer_source: org/x", "tokenizer_source is 'org/x'; expected union"),
        (LINEAR % 1 + "\ntokenizer_source: base", "expected a base_model"),
        (LINEAR % 1 + "\ntokenizer: {tokens: {a: {source: one}}}", "tokenizer has tokens"),
        (LINEAR % 1 + "\ntokenizer: {}\ntokenizer_source: union", "both tokenizer_source and tokenizer"),
        (LINEAR % 1 + "\nchat_template: chatml", "chat_template is 'chatml'; expected the template itself"),
        (LINEAR % 1 + "\nchat_template: auto", "chat_template is 'auto'"),
        ("merge_method: linear\nmodels: [{parameters: {weight: 1}}]", r"model of models\[0\]"),
        ("merge_method: linear\nmodels: [{model: one, gamma: 1}]", "has gamma"),
        ("merge_method: linear\nmodels: [{model: one+lora}]", "'one\\+lora', a model with an adapter"),
        ("merge_method: linear\nmodels: [{model: {path: one}}]", "expected text"),
        (LINEAR % "[{filter: embed_tokens, value: 1}]", "filters but no value for the rest"),
        (LINEAR % "much", "expected a number"),
        (LINEAR.replace("weight", "gamma") % "1", "has the parameter gamma; Linear knows weight, normalize"),
        (LINEAR.replace("weight", "normalize") % "true", "belongs to all models"),
        (LINEAR % "1" + "\nparameters: {rescale: true}", "has the parameter rescale"),
        (LINEAR % "1" + "\nparameters: {normalize: 0.5}", "expected true or false"),
        (
            LINEAR % "1" + "\nparameters: {normalize: [{filter: mlp, value: true}, {value: false}]}",
            "True for some tensors",
        ),
        (LINEAR % "1" + "\nbase_model: two", "weight of two is missing"),
        (LINEAR.replace("linear", "slerp") % "1", "belongs to all models|has the parameter"),
        ("merge_method: slerp\nparameters: {t: 1}\nmodels: [{model: one}, {model: two}]", "base_model is missing"),
        ("merge_method: ties\nbase_model: base\nmodels: [{model: one}]\nparameters: {rescale: true}", "has only False"),
        (SLICE % "[]", "0 different numbers of layers"),
        (SLICE % "[{model: one}]", "layer_range"),
        (SLICE % "[{model: one, layer_range: [2, 1]}]", "expected the first layer"),
        (SLICE % "[{model: one, layer_range: [0, 1000000000]}]", "expected the first layer"),
        (SLICE % "[{model: one, layer_range: [0, 0]}]", "no layers"),
        (SLICE % "[{model: one, layer_range: [0, 2]}, {model: two, layer_range: [2, 3]}]", "2 different numbers"),
        (SLICE % "[{model: one, layer_range: [0, 2]}]\n    residual_weight: 1", "has residual_weight"),
        (SLICE % "[{model: one, layer_range: [0, 2]}]\n    base_model: two", "base_model of slices"),
        (SLICE % "[{model: one, layer_range: [0, 2]}]\nbase_model: two", "takes part in no slice"),
        (
            SLICE.replace("linear", "ties") % "[{model: one, layer_range: [0, 2]}]\nbase_model: two",
            r"slices\[0\] lacks the base model two",
        ),
        (LINEAR.replace("]", ", {model: one}]") % 1, "models has the model one 2 times; expected once"),
    ],
)
def test_what_cannot_be_built_as_written_is_refused(text: str, message: str) -> None:
    with pytest.raises(MergingError, match=message):
        read(text)


def test_values_without_end_are_refused() -> None:
    models = [{"model": f"m{i}", "parameters": {"weight": [0.1, 0.9]}} for i in range(300)]
    text = yaml.safe_dump({"merge_method": "linear", "models": models, "dtype": "float32"})
    with pytest.raises(RecipeError, match="more than 200000 values"):
        read(text, Facts(n_layers=9000))
