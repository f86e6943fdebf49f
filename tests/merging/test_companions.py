"""Models of different vocabulary: whose tokens the result has, where its rows come from, what goes with the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from merging.__main__ import merge
from merging.errors import ParentError
from merging.fingerprints import UNREAD
from merging.indexes import SINGLE
from merging.recipes import WHOLE_MODEL, Companions, Parent, Recipe
from merging.recipes import Tokenizer as Choice
from tests.merging.models import config, edit_json, write_parent

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


def tokenizer(letters: Sequence[str], added: Sequence[str], special: bool = True) -> PreTrainedTokenizerFast:
    """Letters in this order, then added tokens. "<s>" and "</s>" begin and end."""
    words = Tokenizer(token_models.BPE(vocab={letter: i for i, letter in enumerate(letters)}, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_tokens([AddedToken(text, special=special, normalized=False) for text in added])
    made: Any = PreTrainedTokenizerFast
    found: PreTrainedTokenizerFast = made(tokenizer_object=words, bos_token="<s>", eos_token="</s>")
    return found


def write_model(
    folder: Path,
    seed: int,
    words: PreTrainedTokenizerFast,
    n_padding: int = 0,
    dtype: torch.dtype = torch.float32,
    **c: Any,
) -> Path:
    ids = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id}
    write_parent(folder, config(vocab_size=len(words) + n_padding, **ids, **c), seed=seed, dtype=dtype)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A base, a fine-tune with tokens of its own, and one that has them and the letters elsewhere and is padded."""
    root = tmp_path_factory.mktemp("vocabularies")
    return {
        "base": write_model(root / "base", 0, tokenizer(ALPHABET, ["<s>", "</s>"]), n_padding=3),
        "one": write_model(root / "one", 1, tokenizer(ALPHABET, ["<s>", "</s>", "<turn>", "<tool>"])),
        "two": write_model(root / "two", 2, tokenizer(ALPHABET[::-1], ["</s>", "<s>", "<tool>", "<end>"]), n_padding=8),
    }


def recipe(folders: Mapping[str, Path], method: str, values: Any, companions: Companions, **settings: Any) -> Recipe:
    base, *parents = (Parent(name, str(folder), UNREAD) for name, folder in folders.items())
    with_base = method != "linear"
    return Recipe(
        method, base if with_base else None, tuple(parents), (WHOLE_MODEL,), (values,), settings, 0, "float32",
        companions=companions,
    )  # fmt: skip


def build(found: Recipe, out: Path) -> dict[str, torch.Tensor]:
    content = found.to_json()
    file = out.with_suffix(".json")
    file.write_text(json.dumps(content))
    merge(file, out, 0, lambda name: Path(name))
    return load_file(out / SINGLE)


def numbers(folder: Path) -> dict[str, int]:
    loaded: Any = AutoTokenizer.from_pretrained(folder)
    return dict(loaded.get_vocab())


def rows(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The rows of an embedding by token."""
    stored = load_file(folder / SINGLE)[name]
    return {text: stored[number] for text, number in numbers(folder).items()}


TOKENS: dict[Choice, set[str]] = {
    "base": {"<s>", "</s>"},
    "first": {"<s>", "</s>", "<turn>", "<tool>"},
    "union": {"<s>", "</s>", "<turn>", "<tool>", "<end>"},
}


@pytest.mark.parametrize("choice", ["base", "first", "union"])
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_rows_are_merged_by_token(folders: Mapping[str, Path], tmp_path: Path, choice: Choice, name: str) -> None:
    """A token that a model lacks has the base's row there, or the mean of the parents that have it."""
    values = ({"weight": 0.5}, {"weight": 0.25})
    found = recipe(folders, "task_arithmetic", values, Companions(choice), normalize=False, **{"lambda": 1.0})
    merged = build(found, tmp_path / "out")[name]
    base, one, two = (rows(folders[model], name) for model in ("base", "one", "two"))
    result = numbers(tmp_path / "out")
    assert set(result) == set(ALPHABET) | TOKENS[choice]
    for text, number in result.items():
        has = [parent[text] for parent in (one, two) if text in parent]
        start = base[text] if text in base else torch.stack(has).mean(0)
        wanted = start + 0.5 * (one.get(text, start) - start) + 0.25 * (two.get(text, start) - start)
        torch.testing.assert_close(merged[number], wanted, atol=1e-6, rtol=0)  # other order of float32 sums


def test_a_row_that_is_a_mean_is_rounded_once(tmp_path: Path) -> None:
    """The mean of two numbers of 16 bits is none itself, and a weight of 0 shows what a model without the token took."""
    added = {"base": ("<s>", "</s>"), "one": ("<s>", "</s>", "<turn>"), "two": ("<s>", "</s>", "<turn>")}
    folders = {
        name: write_model(tmp_path / name, seed, tokenizer(ALPHABET, texts), dtype=torch.bfloat16)
        for seed, (name, texts) in enumerate(added.items())
    }
    values = ({"weight": 0.0}, {"weight": 0.0})
    found = recipe(folders, "task_arithmetic", values, Companions("union"), normalize=False, **{"lambda": 1.0})
    build(found, tmp_path / "out")
    for name in EMBEDDINGS:
        one, two, merged = (rows(tmp_path / model, name)["<turn>"].float() for model in ("one", "two", "out"))
        assert torch.equal(merged, (one + two) / 2) and not torch.equal(merged, merged.bfloat16().float())


@pytest.mark.parametrize(("choice", "n_rows"), [("base", 261), ("first", 260), ("union", 261)])
def test_the_result_loads_and_speaks_as_its_base(
    folders: Mapping[str, Path], tmp_path: Path, choice: Choice, n_rows: int
) -> None:
    """With weights of 0 every token that the base has keeps its logits, whatever number it has now."""
    values = ({"weight": 0.0}, {"weight": 0.0})
    found = recipe(folders, "task_arithmetic", values, Companions(choice), normalize=False, **{"lambda": 1.0})
    merged = build(found, tmp_path / "out")
    assert all(merged[name].shape == (n_rows, 16) for name in EMBEDDINGS)
    there, here = logits(folders["base"]), logits(tmp_path / "out")
    assert all(torch.equal(here[text], there[text]) for text in there)
    c = json.loads((tmp_path / "out/config.json").read_text())
    assert c["vocab_size"] == n_rows
    assert (c["bos_token_id"], c["eos_token_id"]) == tuple(numbers(tmp_path / "out")[t] for t in ("<s>", "</s>"))


def logits(folder: Path) -> dict[str, torch.Tensor]:
    """What a model thinks of each token after the same text."""
    words: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        found = model(**words("<s>so it goes", return_tensors="pt")).logits[0, -1]
    return {text: found[number] for text, number in words.get_vocab().items()}


def test_text_keeps_its_tokens_in_a_union(folders: Mapping[str, Path], tmp_path: Path) -> None:
    values = ({"weight": 0.5}, {"weight": 0.5})
    build(recipe(folders, "linear", values, Companions("union"), normalize=True), tmp_path / "out")
    words: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "<s>so<tool> it<end></s>"
    assert words.decode(words(text)["input_ids"]) == text
    assert words.tokenize(text) == ["<s>", "s", "o", "<tool>", "Ġ", "i", "t", "<end>", "</s>"]


def test_ordinary_tokens_of_others_are_known_but_never_made(tmp_path: Path) -> None:
    """A letter that only the second model has: the first model's merges cannot make it, its number is after all others."""
    folders = {
        "one": write_model(tmp_path / "one", 1, tokenizer(ALPHABET[:200], ["<s>", "</s>"])),
        "two": write_model(tmp_path / "two", 2, tokenizer(ALPHABET, ["<s>", "</s>"])),
    }
    values = ({"weight": 1.0}, {"weight": 1.0})
    found = recipe({"base": tmp_path, **folders}, "linear", values, Companions("union"), normalize=True)
    merged = build(found, tmp_path / "out")[EMBEDDINGS[0]]
    result, two = numbers(tmp_path / "out"), rows(folders["two"], EMBEDDINGS[0])
    assert {text: result[text] for text in ("<s>", "</s>")} == {"<s>": 200, "</s>": 201}
    assert sorted(result.values()) == list(range(258))
    assert torch.equal(merged[result[ALPHABET[-1]]], two[ALPHABET[-1]])


def test_equal_vocabularies_are_left_as_they_are(folders: Mapping[str, Path], tmp_path: Path) -> None:
    """Padding rows are merged like all others."""
    same = {"base": folders["base"], "one": folders["base"], "two": folders["base"]}
    found = recipe(same, "linear", ({"weight": 1.0}, {"weight": 1.0}), Companions("first"), normalize=True)
    for name, tensor in build(found, tmp_path / "out").items():
        torch.testing.assert_close(tensor, load_file(folders["base"] / SINGLE)[name])


def test_different_tokenizers_are_refused_unless_a_recipe_says_whose(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    found = recipe(folders, "linear", ({"weight": 1.0}, {"weight": 1.0}), Companions(), normalize=True)
    with pytest.raises(ParentError, match="cannot be merged"):
        build(found, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_token_that_is_special_in_one_and_ordinary_in_the_other_is_refused(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other", 3, tokenizer(ALPHABET, ["<s>", "</s>", "<turn>"], special=False))
    found = recipe(
        {**folders, "two": other}, "linear", ({"weight": 1.0}, {"weight": 1.0}), Companions("union"), normalize=True
    )
    with pytest.raises(ParentError, match="'<turn>' are special in one and ordinary in the other of one and two"):
        build(found, tmp_path / "out")


TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.mark.parametrize("place", ["chat_template.jinja", "tokenizer_config.json"])
@pytest.mark.parametrize("chosen", ["", TEMPLATE])
def test_the_chat_template_is_written_where_loaders_look(
    folders: Mapping[str, Path], tmp_path: Path, place: str, chosen: str
) -> None:
    donor = write_model(tmp_path / "donor", 0, tokenizer(ALPHABET, ["<s>", "</s>"]))
    own = "{{ messages[0].content }}"
    if place.endswith("json"):
        edit_json(donor / place, lambda value: value.update(chat_template=own))
    else:
        (donor / place).write_text(own)
    models = {"base": donor, "one": donor, "two": donor}
    values = ({"weight": 1.0}, {"weight": 1.0})
    build(recipe(models, "linear", values, Companions("same", chosen), normalize=True), tmp_path / "out")
    expected = chosen or own
    assert (tmp_path / "out/chat_template.jinja").read_text() == expected
    assert json.loads((tmp_path / "out/tokenizer_config.json").read_text())["chat_template"] == expected
    words: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert words.chat_template == expected
