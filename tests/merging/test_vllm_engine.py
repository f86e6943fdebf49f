"""The vLLM engine against a stand-in that keeps to what vLLM publishes; against vLLM itself where there is a GPU."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from merging.benchmarks import benchmarks
from merging.demo import PACK
from merging.engines import N_TOKENS_BETWEEN_CHECKS
from merging.engines.vllm import ENVIRONMENT, VllmEngine, check_usable
from merging.errors import EvaluationError, TensorError
from merging.recipes import Parent, Recipe, uniform_average
from merging.threads import threads_for
from merging.workbench import Workbench
from tests.merging.fake_vllm import FakeVllm
from tests.merging.models import edit_json, parent
from tests.merging.vllm_interface import interface, versions

PROMPTS = ["a", "two words", "the longest of these prompts by far", "b", "two words"]
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threads_for(n_parameters=0):
        yield


@pytest.fixture(params=versions())
def vllm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVllm:
    fake = FakeVllm(request.param)
    for name, module in fake.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "")  # and as it was, after the test
    monkeypatch.setattr("merging.engines.vllm.share_of_memory", lambda: 0.4)
    return fake


def engine_of(parent: Parent) -> VllmEngine:
    folder = Path(parent.folder)
    return VllmEngine(folder, torch.float32, AutoTokenizer.from_pretrained(folder))


def tensors(parent: Parent) -> dict[str, torch.Tensor]:
    return load_file(Path(parent.folder) / "model.safetensors")


def loaded(parent: Parent) -> VllmEngine:
    engine = engine_of(parent)
    engine.load(tensors(parent).items())
    return engine


@cache
def said(parent: Parent, prompt: str, n: int = 20) -> list[int]:
    """Tokens, by the library's own greedy search."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(parent.folder), AutoTokenizer.from_pretrained(parent.folder)
    asked = tokenizer(prompt, return_tensors="pt")
    tokens = model.generate(**asked, max_new_tokens=n, do_sample=False, pad_token_id=258)
    return list(map(int, tokens[0, asked.input_ids.shape[1] :]))


def greedy(parent: Parent, prompt: str, n: int = 20) -> str:
    return str(AutoTokenizer.from_pretrained(parent.folder).decode(said(parent, prompt)[:n], skip_special_tokens=True))


def texts(engine: VllmEngine) -> list[str]:
    return [completion.text for completion in engine.complete(PROMPTS, 20)]


def test_texts_are_those_of_the_model_that_was_pushed_last(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine, seen = engine_of(relatives["one"]), []
    for name in ("one", "two", "one"):
        engine.load(tensors(relatives[name]).items())
        seen.append(texts(engine))
        assert seen[-1] == [greedy(relatives[name], prompt) for prompt in PROMPTS]
    assert seen[0] == seen[2] != seen[1]


def test_prompts_come_after_what_was_seen_is_forgotten_and_that_after_the_push(
    vllm: FakeVllm, relatives: dict[str, Parent]
) -> None:
    engine = loaded(relatives["one"])
    engine.complete(["a"], 3)
    engine.load(tensors(relatives["two"]).items())
    engine.likelihoods([("a", "b")])
    engine.complete(["a"], 3)
    one_call = ["reset_prefix_cache", "add_request"]
    assert vllm.log == ["start", "reload_weights", *one_call, "reload_weights", *one_call, *one_call]


@pytest.mark.parametrize(("batch_share", "n_rows"), [(1.0, None), (0.25, 64), (0.001, 1)])
def test_it_is_told_how_many_rows_to_compute_at_once_only_where_more_did_not_fit(
    vllm: FakeVllm, relatives: dict[str, Parent], batch_share: float, n_rows: int | None
) -> None:
    folder = Path(relatives["one"].folder)
    engine = VllmEngine(folder, torch.float32, AutoTokenizer.from_pretrained(folder), batch_share)
    engine.load(tensors(relatives["one"]).items())
    assert vllm.started[0].get("max_num_seqs") == n_rows


def test_it_starts_without_reading_weights_running_code_or_reporting(
    vllm: FakeVllm, relatives: dict[str, Parent], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(relatives["one"])
    (started,) = vllm.started
    assert (started["model"], started["dtype"]) == (relatives["one"].folder, "float32")
    assert (started["load_format"], started["trust_remote_code"]) == ("dummy", False)
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT
    assert set(ENVIRONMENT) == set(vllm.published["environment"])


@pytest.mark.parametrize("version", versions())
def test_the_published_words_are_the_ones_that_are_meant(version: str) -> None:
    words = interface(version)["words"]
    assert {"stop", "length"} <= set(words["finish reasons"])
    assert {"CUMULATIVE", "FINAL_ONLY"} <= set(words["output kinds"]) and "dummy" in words["load formats"]


def test_a_stop_string_ends_a_completion_and_is_left_out(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine = loaded(relatives["one"])
    (whole,) = engine.complete(["two words"], 20)
    stop = whole.text[6:8]
    (cut,) = engine.complete(["two words"], 20, ["never said", stop])
    assert (cut.text, cut.finished) == (whole.text[: whole.text.index(stop)], True)
    assert not whole.finished and whole.n_tokens == 20 > cut.n_tokens


def test_an_end_token_finishes_and_is_not_counted(vllm: FakeVllm, relatives: dict[str, Parent], tmp_path: Path) -> None:
    """Which of the model's files names it does not matter; here it is the third token that the model says."""
    folder = tmp_path / "one"
    folder.mkdir()
    for file in Path(relatives["one"].folder).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    end = said(relatives["one"], "two words")[2]
    edit_json(folder / "config.json", lambda config: config.update(eos_token_id=[257, end]))
    engine = VllmEngine(folder, torch.float32, AutoTokenizer.from_pretrained(folder))
    engine.load(tensors(relatives["one"]).items())
    (completion,) = engine.complete(["two words"], 20)
    text = greedy(relatives["one"], "two words", 2)
    assert (completion.text, completion.n_tokens, completion.finished) == (text, 2, True)


def test_what_is_decided_is_not_continued(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine, asked = loaded(relatives["one"]), []
    whole = engine.complete(PROMPTS, 20)

    def decided(text: str) -> bool:
        asked.append(text)
        return text == greedy(relatives["one"], "two words", 2 * N_TOKENS_BETWEEN_CHECKS)

    found = engine.complete(PROMPTS, 20, decided=decided)
    early = [completion.n_tokens == 2 * N_TOKENS_BETWEEN_CHECKS for completion in found]
    assert early == [False, True, False, False, True] and found[1].finished and found[0] == whole[0]
    assert len(asked) == 2 * len(PROMPTS)


def test_likelihoods_are_sums_over_the_continuation(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine, one = loaded(relatives["one"]), relatives["one"]
    tokenizer, model = AutoTokenizer.from_pretrained(one.folder), AutoModelForCausalLM.from_pretrained(one.folder)
    pairs = [("two words", "abc"), ("one ", "word"), ("", "x")]
    found = engine.likelihoods(pairs)
    assert [(likelihood.greedy, likelihood.n_tokens) for likelihood in found] == [(False, 3), (False, 5), (False, 1)]
    (likely,) = engine.likelihoods_of_tokens([(tokenizer("two words")["input_ids"], said(one, "two words")[:3])])
    assert likely.greedy and likely.log_probability > found[0].log_probability
    for (context, continuation), likelihood in zip(pairs, found, strict=True):
        tokens = tokenizer(context + continuation)["input_ids"] if context else [256, *tokenizer("x")["input_ids"]]
        logits = torch.log_softmax(model(torch.tensor([tokens])).logits[0].detach(), dim=-1)
        by_hand = sum(float(logits[i - 1, tokens[i]]) for i in range(len(tokens) - likelihood.n_tokens, len(tokens)))
        assert likelihood.log_probability == pytest.approx(by_hand, abs=1e-4)  # float32 sums in another order


def test_long_contexts_lose_their_beginning(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine = loaded(relatives["one"])
    context = [i % 256 for i in range(300)]
    kept = context[-(engine.max_length - 1) :]
    long, short = engine.likelihoods_of_tokens([(context, [7, 8]), (kept, [7, 8])])
    assert long == short


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda engine: engine.complete(["a", ""], 4), "prompt 1 has no tokens"),
        (
            lambda engine: engine.complete(["x" * 125], 4),
            "prompt 0 has 125 tokens and may be continued by 4.*128 positions",
        ),
        (lambda engine: engine.likelihoods_of_tokens([([1], [])]), "pair 0 has a continuation of 0 tokens"),
        (lambda engine: engine.likelihoods_of_tokens([([], [1])]), "pair 0 has a context without tokens"),
        (lambda engine: engine.likelihoods([("a", "x" * 127)]), "127 tokens; expected 1 to 126"),
        (lambda engine: engine.as_chats(["Why?"]), "no chat template"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    vllm: FakeVllm, relatives: dict[str, Parent], ask: Any, told: str
) -> None:
    with pytest.raises(EvaluationError, match=told):
        ask(loaded(relatives["one"]))


def test_a_model_without_tensors_is_not_asked(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    with pytest.raises(EvaluationError, match="asked before its tensors were loaded"):
        engine_of(relatives["one"]).complete(["a"], 4)


def test_a_question_becomes_a_turn_of_a_chat(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine = engine_of(relatives["one"])
    engine.tokenizer.chat_template = CHAT
    assert engine.as_chats(["Why?"]) == ["<user>Why?<assistant>"]


class Stop(Exception):
    """Raised by a caller who has had enough."""


def test_an_interrupted_call_leaves_nothing_behind(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine = loaded(relatives["one"])
    expected, told = texts(engine), []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if len(told) == 3:
            raise Stop

    with pytest.raises(Stop):
        engine.complete(PROMPTS, 20, progress=progress)
    assert told == [(0, 5)] * 3 and vllm.log[-5:] == ["abort_request"] * 5
    assert texts(engine) == expected


def test_progress_ends_with_all_prompts(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    told: list[tuple[int, int]] = []
    loaded(relatives["one"]).complete(PROMPTS, 3, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 5), (0, 5), (5, 5)]


def test_an_error_among_the_tensors_is_raised_and_the_engine_goes_on(
    vllm: FakeVllm, relatives: dict[str, Parent]
) -> None:
    engine = loaded(relatives["one"])
    expected = texts(engine)

    def broken() -> Iterator[tuple[str, torch.Tensor]]:
        yield from list(tensors(relatives["two"]).items())[:4]
        raise Stop

    with pytest.raises(Stop):
        engine.load(broken())
    engine.load(tensors(relatives["one"]).items())
    assert texts(engine) == expected and vllm.log.count("start") == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda items: items[:-2], "left without 2 of its tensors, such as"),
        (lambda items: [*items, items[0]], "was written twice"),
        (lambda items: [*items, ("lm_head.bias", torch.zeros(1))], "lm_head.bias is not a tensor of this model"),
        (lambda items: [(items[0][0], torch.zeros(2, 3)), *items[1:]], r"is \[2, 3\]; the model has \["),
    ],
)
def test_other_tensors_than_the_model_has_are_refused(
    vllm: FakeVllm, relatives: dict[str, Parent], change: Any, told: str
) -> None:
    engine = engine_of(relatives["one"])
    with pytest.raises(TensorError, match=told):
        engine.load(change(list(tensors(relatives["one"]).items())))


def test_vllm_starts_again_after_it_failed_during_a_push(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine = loaded(relatives["one"])
    expected, vllm.breaks = texts(engine), True
    with pytest.raises(RuntimeError, match="broken on the side of vLLM"):
        engine.load(tensors(relatives["two"]).items())
    assert vllm.log[-2:] == ["shutdown", "cleanup"]
    vllm.breaks = False
    engine.load(tensors(relatives["one"]).items())
    assert texts(engine) == expected and vllm.log.count("start") == 2


def test_a_vllm_that_does_not_forget_is_ended_and_not_asked(vllm: FakeVllm, relatives: dict[str, Parent]) -> None:
    engine, vllm.forgets = loaded(relatives["one"]), False
    with pytest.raises(RuntimeError, match="does not forget"):
        engine.complete(["a"], 4)
    assert "add_request" not in vllm.log and vllm.log[-2:] == ["shutdown", "cleanup"]


@pytest.mark.parametrize(
    ("device", "is_installed", "told"),
    [
        ("cuda:0", False, "vllm is not installed here. Install it as docs/vllm.md says"),
        ("cpu", True, "needs a GPU, and this device is cpu"),
        ("cuda:1", True, "CUDA_VISIBLE_DEVICES=1"),
    ],
)
def test_where_it_cannot_run_it_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, device: str, is_installed: bool, told: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if is_installed else None)
    with pytest.raises(EvaluationError, match=told):
        check_usable(torch.device(device))


def averages(n: int) -> list[Recipe]:
    """Averages of the demo's experts with different weights, in float32: its rounding hardly ever decides between two tokens."""
    parents = tuple(parent(PACK / name) for name in ("japanese", "addition"))
    even = uniform_average(parents, "float32")
    return [replace(even, values=(({"weight": 0.3 + i / 5}, {"weight": 0.7 - i / 5}),)) for i in range(n)]


def test_a_bench_with_vllm_gives_the_texts_of_a_bench_without(vllm: FakeVllm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merging.workbench.check_usable", lambda device: None)
    plain, pushed = Workbench("cpu"), Workbench("cpu", parent_bytes=2**30, engine="vllm")
    first, second = averages(2)
    for recipe in (first, second, first):
        expected, found = (bench.model(recipe).complete(PROMPTS[:2], 8) for bench in (plain, pushed))
        assert found == expected
    pushed.close()
    assert vllm.log.count("start") == 1 and vllm.log.count("reload_weights") == 3 and vllm.log[-1] == "cleanup"


def test_a_bench_refuses_vllm_where_it_is_not_installed() -> None:
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(EvaluationError, match="not installed here"):
            Workbench("cpu", engine="vllm")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: see docs/vllm.md")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="vLLM is used on GPUs, and there is none")
def test_vllm_itself_gives_the_texts_of_the_reference_engine() -> None:
    asked = benchmarks.get("japanese-sums").load()
    prompts = [asked.rendered(sample) for sample in asked.take("search", 48)]
    pairs = [(prompt, "答えは") for prompt in prompts]
    plain, pushed = Workbench("cuda:0"), Workbench("cuda:0", engine="vllm")
    first, second = averages(2)
    for recipe in (first, second, first):
        reference, ours = plain.model(recipe), pushed.model(recipe)
        assert ours.complete(prompts, 40) == reference.complete(prompts, 40)
        likely, expected = ours.likelihoods(pairs), reference.likelihoods(pairs)
        assert [one.log_probability for one in likely] == pytest.approx(
            [one.log_probability for one in expected], abs=1e-3
        )
    pushed.close()
