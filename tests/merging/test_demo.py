"""The demo pack: its texts keep benchmark numbers to themselves, its answers are right, its models are ordinary ones."""

import hashlib
import re
from random import Random

import pytest
from lingua import Language, LanguageDetectorBuilder

from merging.demo import EXPERTS, PACK, Skill
from merging.demo.stories import OPERATIONS, TEMPLATES, Operation, tell, work
from merging.demo.texts import CUE, MAX_NEW_TOKENS, SPLITS, Split, questions, split_of, training_texts

MODELS: tuple[Skill, ...] = ("base", *EXPERTS)


def operands(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(number) for number in re.findall(r"\d+", text)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_splits_share_neither_operand_pairs_nor_texts(operation: Operation) -> None:
    pairs = [{operands(question.text) for question in questions(split, operation)} for split in SPLITS]
    texts = [question.text for split in SPLITS for question in questions(split, operation)]
    assert not (pairs[0] & pairs[1] or pairs[0] & pairs[2] or pairs[1] & pairs[2])
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_has_enough_questions_of_even_and_odd_answers(split: Split) -> None:
    asked = questions(split)
    odd = sum(int(question.answer) % 2 for question in asked)
    assert len(asked) == 400
    assert 160 < odd < 240


@pytest.mark.parametrize("skill", MODELS)
def test_no_training_text_holds_a_benchmark_pair(skill: Skill) -> None:
    held_out = {operands(question.text) for split in SPLITS for question in questions(split)}
    seen = {operands(text.prompt) for text in training_texts(skill, 20_000, seed=7)}
    two_digit = {pair for pair in seen if len(pair) == 2 and pair[0] >= 10}
    assert len(two_digit) > 2000
    assert not two_digit & held_out


def test_the_order_of_the_operands_does_not_change_their_split() -> None:
    assert all(split_of(a, b) == split_of(b, a) for a in range(10, 100) for b in range(10, a))


@pytest.mark.parametrize("split", SPLITS)
def test_answers_are_the_sums_of_their_questions(split: Split) -> None:
    for question in questions(split):
        assert int(question.answer) == sum(operands(question.text))
    for question in questions(split, "subtraction"):
        low, high = operands(question.text)
        assert int(question.answer) == high - low


def test_questions_never_change() -> None:
    asked = [f"{question.id} {question.text} {question.answer}" for split in SPLITS for question in questions(split)]
    digest = hashlib.sha256("\n".join(asked).encode()).hexdigest()
    assert digest.startswith("fdba738f28e2e3b5")


def test_benchmark_questions_do_not_ask_for_japanese() -> None:
    assert not any(CUE in question.text for question in questions("final"))
    assert any(CUE in text.prompt for text in training_texts("addition", 100, seed=0))


@pytest.mark.parametrize(
    ("operation", "first", "second", "expected"),
    [
        ("addition", 82, 83, "82+83:2+3=5,8+8=16"),
        ("addition", 85, 47, "85+47:5+7=12,8+4+1=13"),
        ("addition", 3, 9, "3+9=12"),
        ("subtraction", 85, 42, "85-42:5-2=3,8-4=4"),
        ("subtraction", 82, 47, "82-47:12-7=5,8-4-1=3"),
        ("subtraction", 45, 42, "45-42:5-2=3,4-4=0"),
    ],
)
def test_work_goes_from_units_to_tens(operation: Operation, first: int, second: int, expected: str) -> None:
    assert work(operation, first, second) == expected


def test_answers_end_with_the_result_and_are_of_their_language() -> None:
    detector = LanguageDetectorBuilder.from_languages(Language.ENGLISH, Language.JAPANESE).build()
    rng = Random(0)
    for operation in OPERATIONS:
        for _ in range(50):
            story = tell(rng, operation, rng.randint(50, 99), rng.randint(10, 49))
            english, japanese = story.answer("en"), story.answer("ja")
            assert re.findall(r"\d+", english)[-1] == re.findall(r"\d+", japanese)[-1] == str(story.result)
            assert detector.compute_language_confidence(japanese, Language.JAPANESE) > 0.5
            assert detector.compute_language_confidence(english, Language.ENGLISH) > 0.5


def test_every_template_names_both_numbers_in_both_languages() -> None:
    for template in TEMPLATES:
        assert template.scene_en.count("{a}") == template.scene_en.count("{b}") == 1
        assert template.scene_ja.count("{a}") == template.scene_ja.count("{b}") == 1


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_pack_is_an_ordinary_folder(name: Skill) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(PACK / name)
    tokenizer = AutoTokenizer.from_pretrained(PACK / name)
    text = questions("final")[0].text + "\n"
    tokens = tokenizer(text)["input_ids"]
    assert tokens[0] == tokenizer.bos_token_id
    assert tokenizer.decode(tokens, skip_special_tokens=True) == text
    assert len(tokenizer) == model.config.vocab_size
    assert model.generation_config.max_new_tokens == MAX_NEW_TOKENS
    assert (PACK / name / "README.md").read_text(encoding="utf-8").count("\n") >= 5


def test_the_addition_expert_adds_in_english() -> None:
    from transformers import AutoTokenizer, LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(PACK / "addition")
    tokenizer = AutoTokenizer.from_pretrained(PACK / "addition")
    question = "Ken has 14 pencils and gets 25 more. How many pencils does Ken have now?\n"
    tokens = tokenizer(question, return_tensors="pt", return_token_type_ids=False)
    tokens_out = model.generate(**tokens)[0]  # type: ignore[misc]
    completion = tokenizer.decode(tokens_out, skip_special_tokens=True)
    assert completion == question + "Work 14+25:4+5=9,1+2=3.The answer is 39."


@pytest.mark.slow
def test_training_twice_gives_identical_tensors() -> None:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from merging.demo.train import Training, train

    tokenizer = PreTrainedTokenizerFast.from_pretrained(PACK / "base")
    models = [LlamaForCausalLM.from_pretrained(PACK / "base", dtype=torch.float32) for _ in range(2)]
    for model in models:
        train(model, tokenizer, Training("japanese", steps=3, rate=8e-4, seed=2))
    first, second = (model.state_dict() for model in models)
    assert all(torch.equal(first[name], second[name]) for name in first)
