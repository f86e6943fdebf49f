"""Whether models fit: every finding by what it names, its level and its remedy; and what bars a merge."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from merging.__main__ import main
from merging.cards import Card, read_card
from merging.demo import EXPERTS, PACK
from merging.errors import ParentError
from merging.fit import Finding, Fit, Level, check_recipe_fit, fit
from merging.hops import Hop, LayerPath
from merging.indexes import SINGLE, parent_facts
from merging.methods import methods
from merging.paths import path_recipe
from merging.recipes import WHOLE_MODEL, Parent, Recipe, Tokenizer, passthrough_recipe, uniform_average
from tests.merging.models import config, edit_json, parent, set_config, shard, tensors, write_parent


def bare(folder: Path) -> Parent:
    """A parent whose bytes nobody has read."""
    return Parent(folder.name, str(folder), "")


def of(*folders: Path, base: Path | None = None, tokenizer: Tokenizer = "same") -> Fit:
    return fit([bare(folder) for folder in folders], None if base is None else bare(base), tokenizer=tokenizer)


def only(found: Fit, level: Level) -> Finding:
    """The one finding of a level."""
    (finding,) = found.of(level)
    return finding


def check(parents: Sequence[Parent], base: Parent) -> None:
    """As a TIES recipe is checked before it is built."""
    ties, row = methods.get("ties"), ({"weight": 1.0, "density": 0.5},) * len(parents)
    check_recipe_fit(
        Recipe("ties", base, tuple(parents), (WHOLE_MODEL,), (row,), ties.default_settings(), 0, "float32")
    )


def refuse(base: Path, *others: Path) -> None:
    check([parent(other) for other in others], parent(base))


def two(tmp_path: Path, **changes: Any) -> tuple[Path, Path]:
    """`a` as always, and `b` with another configuration."""
    return write_parent(tmp_path / "a"), write_parent(tmp_path / "b", config(**changes))


def card(folder: Path, front: str) -> None:
    (folder / "README.md").write_text(f"---\n{front}\n---\n# Model\n")


def test_relatives_fit(relatives: dict[str, Parent]) -> None:
    check((relatives["one"], relatives["two"]), relatives["base"])
    found = fit((relatives["one"], relatives["two"]), relatives["base"], methods.get("ties"))
    assert found.models == ("base", "one", "two") and found.sentence == "These models can be merged."
    assert {finding.level for finding in found.findings} == {"info"}
    assert not any(row.differs for row in found.table)


def test_parents_of_other_dtypes_and_shards_fit(tmp_path: Path) -> None:
    one, other = write_parent(tmp_path / "a"), shard(write_parent(tmp_path / "b", dtype=torch.bfloat16))
    refuse(one, other)
    finding = only(of(one, other), "warning")
    assert finding.found == "the dtype of most tensors is bfloat16 in b and float32 in a"


def test_configurations_written_the_old_way_fit(tmp_path: Path) -> None:
    old = config(rope_theta=5000.0, rope_scaling=None)
    new = config(rope_parameters={"rope_theta": 5000.0, "rope_type": "default"}, head_dim=8)
    assert not of(write_parent(tmp_path / "old", old), write_parent(tmp_path / "new", new)).of("warning")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 2}, "number of layers is 2 in b and 3 in a"),
        ({"hidden_size": 32}, "hidden_size is 32 in b and 16 in a"),
        ({"vocab_size": 300}, "vocab_size is 300 in b and 259 in a"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings is True in b and False in a"),
        ({"num_attention_heads": 4, "num_key_value_heads": 2}, "num_attention_heads is 4 in b and 2 in a"),
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-05 in b and 1e-06 in a"),
        ({"intermediate_size": 32}, r"layers.0.mlp.gate_proj.weight is \[32, 16\] in b and \[24, 16\] in a"),
        ({"attention_bias": True}, "a has no model.layers.0.self_attn.q_proj.bias, b has"),
    ],
)
def test_what_bars_a_merge_is_named_with_both_values(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    a, b = two(tmp_path, **changes)
    with pytest.raises(ParentError, match=message):
        refuse(a, b)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model_type": "mistral", "sliding_window": None}, "model_type is mistral in b and llama in a"),
        ({"rope_theta": 1e6}, "rotary positions is type default, partial_rotary_factor 1, rope_theta 1000000 in b and"),
        ({"eos_token_id": [256, 257]}, "the end of a text is <s>, </s> in b and </s> in a"),
    ],
)
def test_what_the_donor_decides_is_a_warning(tmp_path: Path, changes: dict[str, Any], found: str) -> None:
    a, b = two(tmp_path, **changes)
    refuse(a, b)
    for finding in (only(of(a, b), "warning"), only(of(b, base=a, tokenizer="base"), "warning")):
        assert set(finding.models) == {"a", "b"} and finding.found.startswith(found)
        assert "a" in finding.remedy.replace(".", " ").split() and finding.expected == "the same in all models"


def test_all_mismatches_of_all_parents_are_named_and_tabled(tmp_path: Path) -> None:
    a, b = two(tmp_path, rms_norm_eps=1e-5)
    c = write_parent(tmp_path / "c", config(hidden_size=32))
    with pytest.raises(ParentError, match=r"hidden_size is 32 in c and 16 in a, b; .*rms_norm_eps is 1e-05 in b and"):
        refuse(a, b, c)
    table = {row.name: row.values for row in of(a, b, c).table if row.differs}
    assert table["hidden_size"] == ("16", "16", "32") and table["rms_norm_eps"] == ("1e-06", "1e-05", "1e-06")
    assert table["model.norm.weight"] == ("[16]", "[16]", "[32]")


def test_a_table_of_very_many_tensors_says_how_many_are_left_out(tmp_path: Path) -> None:
    deep = config(num_hidden_layers=8, intermediate_size=40, attention_bias=True, mlp_bias=True)
    found = of(write_parent(tmp_path / "a", config(num_hidden_layers=8)), write_parent(tmp_path / "b", deep))
    assert found.table[-1].name == f"{3 * 8 + 7 * 8 - 60} more tensors differ"


def test_tokenizers_that_differ_are_refused_with_examples(tmp_path: Path) -> None:
    one, other = two(tmp_path)

    def change(value: dict[str, Any]) -> None:
        vocab = value["model"]["vocab"]
        vocab["A"], vocab["B"] = vocab["B"], vocab["A"]
        value["added_tokens"][0]["content"] = "<begin>"

    edit_json(other / "tokenizer.json", change)
    with pytest.raises(ParentError) as raised:
        refuse(one, other)
    for words in (
        "tokenizers of a and b differ",
        "1 tokens only in a, such as '<s>'",
        "such as '<begin>'",
        "2 tokens have other numbers",
    ):
        assert words in str(raised.value)


@pytest.mark.parametrize("tokenizer", ["first", "union"])
def test_vocabularies_may_differ_when_somebody_s_is_chosen(tmp_path: Path, tokenizer: Tokenizer) -> None:
    one, other = two(tmp_path, vocab_size=260)
    edit_json(other / "tokenizer.json", lambda value: value["added_tokens"].append({"content": "<new>", "id": 259}))
    assert {finding.models for finding in of(one, other).errors} == {("a", "b")}
    found = of(one, other, tokenizer=tokenizer)
    assert not found.errors and "tokenizers of a and b differ: 1 tokens only in b" in only(found, "warning").found
    assert "Rows are found by token. The result's numbers are those of a." in {f.remedy for f in found.of("info")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / SINGLE).unlink(), "no model.safetensors and no model.safetensors.index.json"),
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: set_config(f, auto_map={}), "brings its own code"),
        (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (
            lambda f: edit_json(
                f / "tokenizer_config.json", lambda v: v.update(auto_map={"AutoTokenizer": ["e.T", None]})
            ),
            "the tokenizer of b brings its own code",
        ),
        (
            lambda f: edit_json(
                f / "tokenizer.json", lambda v: v["added_tokens"].append({"content": "<far>", "id": 5000})
            ),
            "1 tokens of b, such as '<far>', lie beyond its 259 embeddings",
        ),
    ],
)
def test_a_folder_that_cannot_take_part_is_an_error_and_the_rest_is_compared(
    tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    a, b = two(tmp_path)
    change(b)
    findings = of(a, b).errors
    assert message in findings[0].found and findings[0].models == ("b",) and "b" in findings[0].remedy
    with pytest.raises(ParentError, match=message.replace(".", r"\.")):
        check_recipe_fit(passthrough_recipe(parent(b)))


def test_the_number_of_parents_is_the_method_s_business(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "a")
    found = fit([parent(folder), parent(folder, "b")], method=methods.get("passthrough"))
    assert found.errors[0].found.startswith("Passthrough takes 1 parent, found 2")


@pytest.mark.parametrize("order", ["tied first", "tied second"])
def test_one_embedding_is_read_as_two_where_the_result_has_two(tmp_path: Path, order: str) -> None:
    loose, tied = (
        write_parent(tmp_path / "loose"),
        write_parent(tmp_path / "tied", config(tie_word_embeddings=True), seed=1),
    )
    if order == "tied first":
        assert only(of(tied, loose), "error").remedy.startswith("Let loose come first")
        return
    recipe = uniform_average([bare(loose), bare(tied)])
    assert not of(loose, tied).errors
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.to_json()))
    assert main([str(tmp_path / "recipe.json"), str(tmp_path / "out")]) == 0
    embedding = tensors(config(tie_word_embeddings=True), seed=1)["model.embed_tokens.weight"]
    expected = (tensors(config(), seed=0)["lm_head.weight"] + embedding) / 2
    assert torch.allclose(load_file(tmp_path / "out" / SINGLE)["lm_head.weight"], expected, atol=1e-7)  # one rounding


@pytest.mark.parametrize(("tokenizer", "is_barred"), [("base", True), ("union", True), ("first", False)])
def test_a_result_is_like_the_base_where_it_has_its_tokens(
    tmp_path: Path, tokenizer: Tokenizer, is_barred: bool
) -> None:
    """A base model with tied embeddings has no place for the output embedding that its parents have."""
    tied, loose = write_parent(tmp_path / "tied", config(tie_word_embeddings=True)), write_parent(tmp_path / "loose")
    assert bool(of(loose, base=tied, tokenizer=tokenizer).errors) == is_barred


def test_of_several_chat_templates_the_default_one_is_compared(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    named = [{"name": "tools", "template": "{{ tools }}"}, {"name": "default", "template": "{{ messages }}"}]
    edit_json(a / "tokenizer_config.json", lambda value: value.update(chat_template=named))
    (b / "chat_template.jinja").write_text("{{ messages }}")
    assert not of(a, b).of("warning")


def test_a_chat_template_that_only_some_have_or_that_differs_is_a_warning(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    (b / "chat_template.jinja").write_text("{{ messages }}")
    assert only(of(a, b), "warning").found == "a has no chat template, b has one"
    edit_json(a / "tokenizer_config.json", lambda value: value.update(chat_template="{{ messages }}"))
    assert not of(a, b).of("warning")
    edit_json(a / "tokenizer_config.json", lambda value: value.update(chat_template="{{ messages[0] }}"))
    found = of(a, b)
    assert only(found, "warning").found == "the chat templates of a and b differ"
    assert next(row.values for row in found.table if row.name == "chat template") == ("template A", "template B")


@pytest.mark.parametrize(
    ("of_a", "of_b", "are_strangers"),
    [
        ("base_model: org/x", "base_model: org/y", True),
        ("base_model: org/x", "base_model:\n- other/X", False),
        ("base_model: org/x", "base_model:\n  - 'org/y'\n  - org/x", False),
        ("base_model: org/x", "license: mit", False),
        ("base_model: org/x", "base_model: somebody/a", False),
        ("license: mit", "license: mit", False),
    ],
)
def test_models_of_different_ancestors_are_warned_of(tmp_path: Path, of_a: str, of_b: str, are_strangers: bool) -> None:
    a, b = two(tmp_path)
    card(a, of_a)
    card(b, of_b)
    assert [finding.found for finding in of(a, b).of("warning")] == [
        "b descends from org/y, a from org/x"
    ] * are_strangers


def test_where_a_model_was_loaded_from_counts_when_its_card_is_silent(tmp_path: Path) -> None:
    a, b = two(tmp_path, _name_or_path="org/y")
    set_config(a, _name_or_path="org/x")
    assert "b descends from org/y" in only(of(a, b), "warning").found
    set_config(a, _name_or_path="/home/me/x")
    assert not of(a, b).of("warning")


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("license: mit\nbase_model: org/x", Card("mit", ("org/x",))),
        ("base_model:\n- org/x\n- \"org/y\"\nlicense: 'apache-2.0'", Card("apache-2.0", ("org/x", "org/y"))),
        ("base_model: [org/x]", Card("", ())),
        ("base_model: &a [*a]", Card("", ())),
        ("base_model:\n  - ", Card("", ())),
    ],
)
def test_cards_are_read_line_by_line(tmp_path: Path, front: str, expected: Card) -> None:
    card(tmp_path, front)
    assert read_card(tmp_path) == expected


def test_licences_and_sizes_are_said(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    card(a, "license: mit")
    found = [finding.found for finding in of(a, b).of("info")]
    assert found[0] == "licence: not stated in b and mit in a"
    ours = of(*(PACK / skill for skill in EXPERTS[:2]))
    assert ours.of("info")[0].found == "licence: comes with Progeny in japanese, addition"
    assert next(row for row in ours.table if row.name == "licence").values == ("comes with Progeny",) * 2
    assert found[1].startswith(f"the largest model has {parent_facts(a).n_parameters:,} parameters")


def test_an_unlisted_family_fits_itself_and_says_what_it_cannot(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    for folder in (a, b):
        set_config(folder, model_type="home_made")
    finding = only(of(a, b), "warning")
    assert finding.found == "a and b are of the unlisted family home_made, known by names and shapes alone"
    assert "layer groups are not possible" in finding.remedy and "only if the installed transformers" in finding.remedy
    set_config(b, rms_norm_eps=1e-5)
    assert "rms_norm_eps is 1e-05 in b and 1e-06 in a" in {f.found for f in of(a, b).of("warning")}


def test_rows_of_an_unlisted_family_cannot_be_found_by_token(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    for folder in (a, b):
        set_config(folder, model_type="home_made")
    edit_json(b / "tokenizer.json", lambda value: value["added_tokens"].pop())
    finding = only(of(a, b, tokenizer="first"), "error")
    assert "tokenizers of a and b differ" in finding.found and "no embedding is known" in finding.remedy


def test_layers_of_a_stack_may_be_of_any_number(tmp_path: Path) -> None:
    a, b = two(tmp_path, num_hidden_layers=5)
    assert of(a, b).errors and not fit([bare(a), bare(b)], is_stack=True).errors


def on_a_path(*folders: Path) -> Fit:
    return fit([bare(folder) for folder in folders], is_path=True, method=methods.get("passthrough"))


def test_parents_of_a_path_may_differ_in_depth_ends_and_tokens(tmp_path: Path) -> None:
    """Only layers of b take part: its vocabulary, its tied embeddings and a token without a row are nothing to a."""
    a, b = two(tmp_path, num_hidden_layers=5, vocab_size=261, tie_word_embeddings=True)
    edit_json(b / "tokenizer.json", lambda value: value["added_tokens"].append({"content": "<new>", "id": 500}))
    found = on_a_path(a, b)
    assert not found.errors
    assert only(found, "warning").found == "the tokenizers of a and b differ: 1 tokens only in b, such as '<new>'"
    assert "The path begins and ends in a, so the result has its tokens." in only(found, "warning").remedy


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 32}, "hidden_size is 32 in b and 16 in a"),
        ({"num_attention_heads": 4}, "num_attention_heads is 4 in b and 2 in a"),
        ({"num_key_value_heads": 2}, "num_key_value_heads is 2 in b and 1 in a"),
        ({"intermediate_size": 32}, "mlp.up_proj.weight is [32, 16] in layers of b and [24, 16] in those of a"),
        ({"attention_bias": True}, "layers of b have self_attn.q_proj.bias, which a has not"),
        ({"partial_rotary_factor": 0.5}, "the rotated share of a head is 0.5 in b and 1 in a"),
        (
            {"model_type": "granite", "residual_multiplier": 0.22},
            "residual_multiplier is 0.22 in b, and llama has no such setting",
        ),
    ],
)
def test_layers_that_are_no_layers_of_the_first_parent_bar_a_path(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    a, b = two(tmp_path, **changes)
    found = [finding for finding in on_a_path(a, b).errors if message in finding.found]
    assert found and all(finding.remedy for finding in found)


def test_layers_that_learnt_other_positions_are_warned_of(tmp_path: Path) -> None:
    a, b = two(tmp_path, rope_theta=5e5)
    finding = only(on_a_path(a, b), "warning")
    assert "rope_theta 500000" in finding.found and "choose models with one rope_theta" in finding.remedy


def test_windows_of_a_path_are_compared_by_their_size(tmp_path: Path) -> None:
    """In which layers they are goes with the layers."""
    a, b, c = (
        write_parent(tmp_path / name, config("mistral", num_hidden_layers=n, sliding_window=size))
        for name, n, size in (("a", 3, 8), ("b", 4, 8), ("c", 3, 16))
    )
    assert not on_a_path(a, b).of("warning")
    assert "the size of attention windows is 16 tokens in c and 8 tokens in a" in only(on_a_path(a, c), "warning").found


def test_layers_of_an_unlisted_family_bar_a_path(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    for folder in (a, b):
        set_config(folder, model_type="home_made")
    assert (
        "a and b are of the unlisted family home_made, of which nobody wrote down"
        in only(on_a_path(a, b), "error").found
    )


def test_a_path_and_a_stack_that_is_none_are_checked_as_what_they_are(tmp_path: Path) -> None:
    a, b = two(tmp_path)
    edit_json(b / "tokenizer.json", lambda value: value["added_tokens"].pop())
    path = path_recipe([parent(a), parent(b)], LayerPath((Hop(0, 0), Hop(1, 1))))
    check_recipe_fit(path)
    other_head = replace(path, groups=(path.groups[0], replace(path.groups[1], after=True)), values=path.values[:2])
    with pytest.raises(ParentError, match="the tokenizers of a and b differ"):
        check_recipe_fit(other_head)


def test_a_recipe_is_checked_with_its_own_tokenizer_and_donor(tmp_path: Path) -> None:
    a, b = two(tmp_path, vocab_size=260)
    recipe = uniform_average([parent(a), parent(b)])
    with pytest.raises(ParentError, match="vocab_size"):
        check_recipe_fit(recipe)
    check_recipe_fit(replace(recipe, companions=replace(recipe.companions, tokenizer="first")))
    check_recipe_fit(passthrough_recipe(parent(b)))
