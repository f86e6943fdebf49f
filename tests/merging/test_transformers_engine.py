"""The reference engine against the library's own greedy search, on small random models with real tokenizers."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from merging.engines.transformers import TransformersEngine
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


def greedy_by_the_library(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompt: str, n: int) -> str:
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=n, do_sample=False, pad_token_id=257)
    return str(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("make", [llama, mistral, qwen2])
@pytest.mark.parametrize("batch_size", [1, 2, None])
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
