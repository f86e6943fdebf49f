"""The reference engine against the library's own greedy search, on small random models with real tokenizers."""

from __future__ import annotations

import random

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    FalconMambaConfig,
    FalconMambaForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from merging.engines import Likelihood
from merging.engines.transformers import TransformersEngine
from merging.engines.transformers.rows import can_move_rows
from merging.errors import EvaluationError

SHAPE = {
    "vocab_size": 258,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,  # far from the default 0.02, so that no two logits are within rounding of each other
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
}
PROMPTS = ["a", "two words", "the longest of these prompts by far", "b", "middle sized"]


MANY = ["few-shot: 1+1=2; 2+2=4; " + text for text in ("ab", "a", "cde", "ab", "xyz", "q", "few", "", "a longer one")]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", padding_side="left")


def llama(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()


def mistral(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=16)).eval()


def qwen2(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE)).eval()


def gpt2(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    shape = {"vocab_size": 258, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.3, bos_token_id=256, eos_token_id=257)).eval()


def gpt_neox(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(GPTNeoXConfig(**{k: v for k, v in SHAPE.items() if k != "num_key_value_heads"})).eval()


def gemma2(seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    return Gemma2ForCausalLM(Gemma2Config(**SHAPE, head_dim=8, sliding_window=12)).eval()


def mamba(seed: int) -> PreTrainedModel:
    """Its memory is a state, not keys and values."""
    torch.manual_seed(seed)
    shape = {"vocab_size": 258, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}
    return FalconMambaForCausalLM(
        FalconMambaConfig(**shape, bos_token_id=256, eos_token_id=257, pad_token_id=257)
    ).eval()


def greedy_by_the_library(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompt: str, n: int) -> str:
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=n, do_sample=False, pad_token_id=257)
    return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


FAMILIES = [
    llama,
    gpt2,
    gemma2,
    mamba,
    *(pytest.param(make, marks=pytest.mark.slow) for make in (mistral, qwen2, gpt_neox)),
]
"""Positions that turn and that are learned, windows, a memory without keys; those that are slow are like them."""


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize("batch_size", [2, None])
def test_completions_equal_the_library_one_prompt_at_a_time(make, batch_size, tokenizer):
    model = make(seed=5)
    found = TransformersEngine(model, tokenizer, batch_size).complete(PROMPTS, max_new_tokens=20)
    assert [c.text for c in found] == [greedy_by_the_library(model, tokenizer, p, 20) for p in PROMPTS]


def test_rows_that_end_early_do_not_change_the_others(tokenizer):
    model = llama(seed=1)
    plain = TransformersEngine(model, tokenizer).complete(PROMPTS, max_new_tokens=24)
    ending = tokenizer(plain[0].text)["input_ids"][3]
    model.generation_config.eos_token_id = [257, ending]
    found = TransformersEngine(model, tokenizer).complete(PROMPTS, max_new_tokens=24)
    assert found[0].finished and found[0].n_tokens <= 3
    for before, after in zip(plain, found, strict=True):
        assert before.text.startswith(after.text)
        assert after.finished or after.text == before.text


def test_a_stop_string_ends_the_completion_before_it(tokenizer):
    engine = TransformersEngine(llama(seed=2), tokenizer)
    whole = engine.complete(PROMPTS, max_new_tokens=24)
    stop = whole[1].text[5:7]
    found = engine.complete(PROMPTS, max_new_tokens=24, stop=[stop])
    assert found[1].finished
    assert [c.text for c in found] == [w.text.split(stop)[0] for w in whole]


def test_a_completion_cut_at_the_limit_is_not_finished(tokenizer):
    [found] = TransformersEngine(llama(seed=3), tokenizer).complete(["x"], max_new_tokens=2)
    assert (found.n_tokens, found.finished) == (2, False)


def test_the_same_prompts_give_the_same_bits_again(tokenizer):
    engine = TransformersEngine(llama(seed=4), tokenizer)
    assert engine.complete(PROMPTS, 12) == engine.complete(PROMPTS, 12)


def test_no_prompts_give_no_completions(tokenizer):
    assert TransformersEngine(llama(seed=4), tokenizer).complete([], 12) == []


def test_a_prompt_beyond_the_positions_is_refused_by_name(tokenizer):
    with pytest.raises(EvaluationError, match=r"prompt 1 has 61 tokens .* 64 positions"):
        TransformersEngine(llama(seed=4), tokenizer).complete(["x", "y" * 61], 4)


def test_progress_counts_finished_prompts_at_every_step(tokenizer):
    seen: list[tuple[int, int]] = []
    TransformersEngine(llama(seed=4), tokenizer, 2).complete(
        PROMPTS, 4, progress=lambda done, total: seen.append((done, total))
    )
    assert sorted({told for told in seen if told[0] in (2, 4, 5)}) == [(2, 5), (4, 5), (5, 5)]
    assert seen == sorted(seen) and len(seen) >= 3 * 4  # three batches of four tokens


@pytest.mark.parametrize(("batch_share", "n_first"), [(1.0, 4), (0.5, 2), (0.1, 1)])
def test_a_share_of_a_batch_is_computed_at_once(batch_share, n_first, tokenizer):
    seen: list[int] = []
    engine = TransformersEngine(llama(seed=4), tokenizer, 4, batch_share)
    found = engine.complete(PROMPTS, 1, progress=lambda done, total: seen.append(done))
    assert seen[0] == n_first
    assert found == TransformersEngine(llama(seed=4), tokenizer).complete(PROMPTS, 1)


@pytest.mark.parametrize("make", FAMILIES)
def test_shared_beginnings_and_rows_that_enter_late_change_no_text(make, tokenizer):
    model = make(seed=6)
    model.generation_config.eos_token_id = [257, *range(0, 258, 9)]
    found = TransformersEngine(model, tokenizer, 3).complete(MANY, max_new_tokens=24)
    ends = set(model.generation_config.eos_token_id)
    for prompt, completion in zip(MANY, found, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt")
        whole = model.generate(**inputs, max_new_tokens=24, do_sample=False, pad_token_id=257)[0].tolist()
        generated = whole[inputs["input_ids"].shape[1] :]
        n = next((i for i, token in enumerate(generated) if token in ends), len(generated))
        assert completion.text == tokenizer.decode(generated[:n], skip_special_tokens=True)
        assert (completion.n_tokens, completion.finished) == (n, n < len(generated))


@pytest.mark.parametrize("seed", range(4))
def test_any_batch_size_gives_the_same_texts(seed, tokenizer):
    draw = random.Random(seed)
    prompts = ["".join(draw.choices("abcdefg ", k=draw.randint(1, 30))) for _ in range(17)]
    model = llama(seed=seed)
    model.generation_config.eos_token_id = [257, *range(0, 258, 13)]
    one, *others = (TransformersEngine(model, tokenizer, size).complete(prompts, 30) for size in (1, 4, 7, None))
    assert all(other == one for other in others)


def test_a_completion_ends_where_its_answer_is_decided(tokenizer):
    engine = TransformersEngine(llama(seed=2), tokenizer)
    whole = engine.complete(PROMPTS, 24)
    found = engine.complete(PROMPTS, 24, decided=lambda text: len(text) > 3)
    assert all(f.finished and w.text.startswith(f.text) and f.n_tokens <= 16 for f, w in zip(found, whole, strict=True))


def test_an_empty_prompt_is_refused_by_name(tokenizer):
    with pytest.raises(EvaluationError, match="prompt 1 has no tokens"):
        TransformersEngine(llama(seed=4), tokenizer).complete(["x", ""], 4)


def test_the_model_attends_as_before_after_a_call(tokenizer):
    model = llama(seed=4)
    with pytest.raises(ZeroDivisionError):
        TransformersEngine(model, tokenizer).complete(["x"], 4, progress=lambda done, total: 1 // 0)
    assert model.config._attn_implementation == "sdpa"


def likelihood_one_at_a_time(model: PreTrainedModel, context: list[int], continuation: list[int]) -> Likelihood:
    with torch.no_grad():
        logits = model(torch.tensor([[*context, *continuation]])).logits[0, len(context) - 1 : -1].double()
    logs = logits.log_softmax(dim=-1)[range(len(continuation)), continuation]
    greedy = logits.argmax(dim=-1).tolist() == continuation
    return Likelihood(float(logs.sum()), len(continuation), greedy)


@pytest.mark.parametrize("make", FAMILIES)
def test_likelihoods_equal_those_computed_one_at_a_time(make, tokenizer):
    model = make(seed=7)
    engine = TransformersEngine(model, tokenizer)
    rows = [(c, a) for c in ([1, 2, 3], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [7]) for a in ([5], [5, 6], [9, 8, 7, 6])]
    rows += [([3, 1, 4, 1, 5, 9], [2, 6, 5]), ([2], [7, 1, 8])]
    with torch.no_grad():
        rows.append(([1, 2, 3], [int(model(torch.tensor([[1, 2, 3]])).logits[0, -1].argmax())]))
    found = engine.likelihoods_of_tokens(rows)
    for row, one in zip(rows, found, strict=True):
        expected = likelihood_one_at_a_time(model, *row)
        assert one.log_probability == pytest.approx(expected.log_probability, rel=1e-5)  # float32 against float64
        assert (one.n_tokens, one.greedy) == (expected.n_tokens, expected.greedy)
    assert found[-1].greedy


def test_a_context_too_long_for_the_positions_loses_its_beginning(tokenizer):
    model = llama(seed=7)
    [found] = TransformersEngine(model, tokenizer).likelihoods_of_tokens([([1] * 40 + [2, 3] * 20, [4, 5, 6])])
    expected = likelihood_one_at_a_time(model, ([1] * 40 + [2, 3] * 20)[-62:], [4, 5, 6])
    assert found.log_probability == pytest.approx(expected.log_probability, rel=1e-5)


def test_an_empty_context_is_the_first_token_of_a_text(tokenizer):
    engine = TransformersEngine(llama(seed=7), tokenizer)
    assert engine.likelihoods([("", "ab")]) == engine.likelihoods_of_tokens([([256], tokenizer("ab")["input_ids"])])


def test_space_at_the_end_of_a_context_counts_to_the_continuation(tokenizer):
    engine = TransformersEngine(llama(seed=7), tokenizer)
    assert engine.likelihoods([("a ", "b")]) == engine.likelihoods([("a", " b")])
    assert engine.likelihoods([("a ", "b")])[0].n_tokens == 2


def test_a_continuation_without_tokens_is_refused_by_name(tokenizer):
    with pytest.raises(EvaluationError, match="continuation of pair 1 has no tokens"):
        TransformersEngine(llama(seed=7), tokenizer).likelihoods([("a", "b"), ("a", "")])


def test_memory_that_is_no_keys_and_values_is_left_to_the_library():
    assert not can_move_rows(mamba(seed=0)) and can_move_rows(mistral(seed=0))


def test_a_model_without_a_chat_template_says_so(tokenizer):
    with pytest.raises(EvaluationError, match="no chat template"):
        TransformersEngine(llama(seed=7), tokenizer).as_chats(["Hi"])


def test_a_question_is_a_turn_of_the_chat_template(tokenizer):
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<model>{% endif %}"
    chatting = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, chat_template=template)
    assert TransformersEngine(llama(seed=7), chatting).as_chats(["Hi"]) == ["<user>Hi<model>"]
