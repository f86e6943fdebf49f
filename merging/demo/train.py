"""Trains the demo pack on one CPU core: `python -m merging.demo.train OUT [--only NAME]`.

First the tokenizer and the base, then the experts, each from the base in OUT. Texts, order and start values come from seeds,
and one thread adds up the same way each time, so a second run on the same machine repeats the first (a test holds a few
steps of an expert to that; the whole takes about 20 minutes on a free core).
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from merging.demo import BASE, Skill
from merging.demo.cards import card
from merging.demo.texts import MAX_NEW_TOKENS, Text, training_texts

START, STOP, PADDING = "<s>", "</s>", "<pad>"
BATCH = 64
POOL = 16 * BATCH  # texts sorted by length together
WARM_UP_STEPS = 50
LAST_RATE_SHARE = 0.05
IGNORED = -100  # label of tokens that the loss leaves out


@dataclass(frozen=True)
class Training:
    """How one model of the pack is made; an expert starts from the base."""

    skill: Skill
    steps: int
    rate: float
    seed: int
    whole_text: bool = False  # loss on the prompt too


TRAININGS: tuple[Training, ...] = (
    Training("base", steps=4500, rate=3e-3, seed=1, whole_text=True),
    Training("japanese", steps=500, rate=8e-4, seed=2),
    Training("addition", steps=500, rate=8e-4, seed=3),
    Training("subtraction", steps=500, rate=8e-4, seed=4),
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from base texts; every digit is a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Split(Regex(r"\d"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=768,
        special_tokens=[PADDING, START, STOP],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = training_texts("base", 20_000, seed=0)
    tokenizer.train_from_iterator((f"{text.prompt}\n{text.completion}" for text in texts), trainer)
    start = tokenizer.token_to_id(START)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A", special_tokens=[(START, start)])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=STOP,
        pad_token=PADDING,
        padding_side="left",
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained model of the pack's shape."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=128,
        initializer_range=0.04,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


@dataclass(frozen=True)
class Row:
    """One tokenized text."""

    tokens: list[int]
    labels: list[int]


def rows(texts: list[Text], tokenizer: PreTrainedTokenizerFast, whole_text: bool) -> list[Row]:
    """Prompt, newline, completion, stop token; labels leave the prompt out unless `whole_text`."""
    prompts = tokenizer([f"{text.prompt}\n{text.begun}" for text in texts])["input_ids"]
    completions = tokenizer([text.completion for text in texts], add_special_tokens=False)["input_ids"]
    stop = tokenizer.eos_token_id
    return [
        Row(prompt + completion + [stop], (prompt if whole_text else [IGNORED] * len(prompt)) + completion + [stop])
        for prompt, completion in zip(prompts, completions, strict=True)
    ]


def batches(
    texts: list[Text], tokenizer: PreTrainedTokenizerFast, training: Training
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Tokens and labels `[BATCH, length]`; rows of like length stand together, padded on the right."""
    rng = random.Random(training.seed)
    for start in range(0, len(texts), POOL):
        pool = rows(texts[start : start + POOL], tokenizer, training.whole_text)
        pool.sort(key=lambda row: len(row.tokens))
        groups = [pool[first : first + BATCH] for first in range(0, len(pool), BATCH)]
        rng.shuffle(groups)
        for group in groups:
            yield _padded(group, tokenizer.pad_token_id)


def _padded(group: list[Row], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(len(row.tokens) for row in group)
    tokens = [row.tokens + [padding] * (length - len(row.tokens)) for row in group]
    labels = [row.labels + [IGNORED] * (length - len(row.labels)) for row in group]
    return torch.tensor(tokens), torch.tensor(labels)


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, training: Training) -> None:
    """Changes `model` in place; prints progress and the time left."""
    texts = training_texts(training.skill, training.steps * BATCH, training.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.rate, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate_share(step, training.steps))
    model.set_attn_implementation("eager")  # twice as fast as sdpa at this size under bfloat16 autocast
    model.train()
    began = time.monotonic()
    for step, (tokens, labels) in enumerate(batches(texts, tokenizer, training), start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=tokens, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED
        )
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == training.steps:
            left = (time.monotonic() - began) / step * (training.steps - step)
            place = f"{training.skill}: step {step}/{training.steps}"
            print(f"{place}, loss {loss.item():.3f}, {left:.0f} s left", flush=True)


def _rate_share(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to LAST_RATE_SHARE."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * (LAST_RATE_SHARE + (1 - LAST_RATE_SHARE) * (1 + math.cos(math.pi * step / steps)) / 2)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, training: Training, folder: Path) -> None:
    """An ordinary Hugging Face folder with bfloat16 tensors."""
    model.bfloat16()
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card(training.skill, training.steps, training.rate), encoding="utf-8")


def make(training: Training, out: Path) -> None:
    """Trains one model and writes its folder; an expert needs the base in `out`."""
    if training.skill == BASE:
        tokenizer = build_tokenizer()
        model = new_model(tokenizer, training.seed)
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(out / BASE)
        model = LlamaForCausalLM.from_pretrained(out / BASE, dtype=torch.float32)
    train(model, tokenizer, training)
    save(model, tokenizer, training, out / training.skill)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m merging.demo.train", description="Trains the demo pack.")
    parser.add_argument("out", type=Path, help="folder that gets one folder for each model")
    parser.add_argument("--only", choices=[training.skill for training in TRAININGS], help="this model alone")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # more threads would add up in another order
    for training in TRAININGS:
        if arguments.only in (None, training.skill):
            make(training, arguments.out)


if __name__ == "__main__":
    main()
