"""Rows in slots say what they say otherwise, while nothing but the operations of one step of each shape is repeated.

On a CPU these are repeated by a tape, which forbids and freezes what a CUDA graph does; what only a card can show is at the end.
"""

from __future__ import annotations

import gc
import logging
import random
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from transformers import PreTrainedModel

from merging.engines import Completion
from merging.engines.transformers import TransformersEngine
from merging.engines.transformers.batch import Part, Row, Rules
from merging.engines.transformers.graphs import CudaGraphs, Step, no_graphs
from merging.engines.transformers.rows import ByLibrary, Past, read
from merging.engines.transformers.slot_attention import can_use_slots
from merging.engines.transformers.slots import MAX_RECORDED, Slots, columns_for, rounded_up
from merging.families import families
from tests.merging.contracts.test_families import VARIANTS, described
from tests.merging.models import tokenizer
from tests.merging.tapes import Crossings, ForbiddenInGraphs, Tapes
from tests.merging.test_path_shells import MIXED, SCALES, recipe, shell, two

DRAW: Final = random.Random(0)
PROMPTS: Final = ["".join(DRAW.choices("abcdefg ", k=DRAW.randint(1, 30))) for _ in range(13)]
N_TOKENS: Final = 24
SLOTS: Final = 5
"""Fewer than the prompts, so that rows enter where others have left."""
ENDS: Final = [257, *range(0, 258, 11)]
"""Completions end at any length."""
TOKENIZER: Final = tokenizer()
EVERY_FAMILY = pytest.mark.parametrize(
    ("model_type", "changes"), [*((family.model_type, {}) for family in families), *VARIANTS], ids=str
)

pytestmark = pytest.mark.usefixtures("quiet_library", "one_thread", "few_columns")


@pytest.fixture
def few_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that rows of this length need more and more of them."""
    monkeypatch.setattr("merging.engines.transformers.slots.MIN_COLUMNS", 16)


def model(model_type: str = "llama", changes: Mapping[str, Any] | None = None, seed: int = 3) -> PreTrainedModel:
    made: PreTrainedModel = described(model_type, changes or {}, seed)
    return ending(made)


def ending(made: PreTrainedModel) -> PreTrainedModel:
    made.generation_config.eos_token_id = ENDS  # type: ignore[union-attr]
    return made


def decided(text: str) -> bool:
    """Of some texts, whatever they are, so that rows of models that never end leave at different times, too."""
    return sum(map(ord, text)) % 3 == 0


def plain(made: PreTrainedModel, prompts: list[str] = PROMPTS, n: int = N_TOKENS) -> list[Completion]:
    return TransformersEngine(made, TOKENIZER, SLOTS).complete(prompts, n)


def taping(made: PreTrainedModel, n_slots: int = SLOTS) -> tuple[TransformersEngine, Tapes]:
    tapes = Tapes()
    return TransformersEngine(made, TOKENIZER, n_slots, recorder=lambda device: tapes), tapes


def write_in_place(made: PreTrainedModel, other: PreTrainedModel) -> None:
    """As a candidate comes into a shell."""
    with torch.no_grad():
        for target, source in zip(made.parameters(), other.parameters(), strict=True):
            target.copy_(source)


@EVERY_FAMILY
def test_every_family_says_the_same_from_a_tape(model_type: str, changes: Mapping[str, Any]) -> None:
    made = model(model_type, changes)
    expected = TransformersEngine(made, TOKENIZER, SLOTS).complete(PROMPTS, N_TOKENS, decided=decided)
    engine, tapes = taping(made)
    assert engine.complete(PROMPTS, N_TOKENS, decided=decided) == expected
    n_recorded = tapes.n_recorded
    assert 0 < n_recorded < tapes.n_replayed
    assert engine.complete(PROMPTS, N_TOKENS, decided=decided) == expected
    assert tapes.n_recorded == n_recorded


@EVERY_FAMILY
def test_a_step_takes_nothing_from_the_host(model_type: str, changes: Mapping[str, Any]) -> None:
    """On a device that holds no numbers, where asking for one is an error too; grouped products of experts are there in bfloat16."""
    made: Any = model(model_type, changes).bfloat16()
    with torch.inference_mode():
        _, read_here = read(ByLibrary(made), [[1] * 10, [2] * 7, [3] * 5])
    past = Past([(keys.to("meta"), values.to("meta")) for keys, values in read_here.layers], read_here.lengths)
    made.to("meta")
    steps: list[Step] = []
    slots = Slots(made, lambda step: steps.append(step) or step).opened(3, 3, 40)
    with torch.inference_mode():
        slots.renew([Part([Row([1] * n, [5]) for n in past.lengths], past, [0, 1, 2])])
        with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
            slots.step(Rules(4, frozenset(), None))  # asks for the tokens, after the step
        with Crossings() as crossings:
            steps[0]()
    assert crossings.found == []


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "gpt2", "qwen3_moe"])
def test_candidates_written_in_place_are_what_the_tape_computes_with(model_type: str) -> None:
    made, candidates = model(model_type), [model(model_type, seed=seed) for seed in (4, 5)]
    engine, tapes = taping(made)
    expected = [plain(candidate) for candidate in candidates]
    n_recorded = 0
    for is_known in (False, True):
        for candidate, texts in zip(candidates, expected, strict=True):
            write_in_place(made, candidate)
            assert engine.complete(PROMPTS, N_TOKENS) == texts
        assert (tapes.n_recorded == n_recorded) == is_known
        n_recorded = tapes.n_recorded


def test_a_candidate_that_is_not_a_number_leaves_nothing_behind() -> None:
    made, good = model(), model()
    engine, _ = taping(made)
    expected = engine.complete(PROMPTS, N_TOKENS)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(torch.nan)
    engine.complete(PROMPTS, N_TOKENS)
    write_in_place(made, good)
    assert engine.complete(PROMPTS, N_TOKENS) == expected


def test_tensors_in_another_place_are_recorded_anew() -> None:
    made, other = model(), model(seed=4)
    engine, tapes = taping(made)
    engine.complete(PROMPTS, N_TOKENS)
    n_recorded = tapes.n_recorded
    for target, source in zip(made.parameters(), other.parameters(), strict=True):
        target.data = source.data
    assert engine.complete(PROMPTS, N_TOKENS) == plain(other)
    assert tapes.n_recorded == 2 * n_recorded


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "gpt_neox"])
def test_paths_of_any_length_and_scale_are_recorded_as_they_come(tmp_path: Path, model_type: str) -> None:
    """With keys and values for every hop."""
    parents = two(tmp_path, model_type)
    live = shell(parents)
    engine, _ = taping(ending(live.model))
    for hops, scales in ((MIXED, SCALES), (MIXED, ()), (MIXED[:3], ()), (MIXED, SCALES)):
        engine.layers_changed(live.follow(recipe(parents, hops, scales)))
        assert engine.complete(PROMPTS[:7], 12) == plain(live.model, PROMPTS[:7], 12)


@pytest.mark.parametrize("n_slots", [1, 2, 7, 13, 64])
def test_any_number_of_slots_gives_the_same_texts(n_slots: int) -> None:
    made = model(seed=8)
    assert taping(made, n_slots)[0].complete(PROMPTS, N_TOKENS) == plain(made)


def test_calls_of_other_sizes_share_the_memory_and_keep_what_was_recorded() -> None:
    made = model()
    engine, tapes = taping(made)
    few_and_long, many_and_short = (["abc" * 25, "a"], 40), (PROMPTS, 20)
    expected = [plain(made, *asked) for asked in (few_and_long, many_and_short)]
    for _ in range(3):
        assert [engine.complete(*asked) for asked in (few_and_long, many_and_short)] == expected
        n_recorded = tapes.n_recorded
    assert [engine.complete(*asked) for asked in (few_and_long, many_and_short)] == expected
    assert tapes.n_recorded == n_recorded


def test_stop_strings_and_shared_beginnings_are_as_otherwise() -> None:
    made = model()
    prompts = [f"what all of them begin with {prompt}" for prompt in PROMPTS]
    stop = plain(made, prompts)[0].text[4:5]
    expected = TransformersEngine(made, TOKENIZER, SLOTS).complete(prompts, N_TOKENS, stop=[stop])
    assert taping(made)[0].complete(prompts, N_TOKENS, stop=[stop]) == expected


def test_a_call_that_was_interrupted_leaves_no_row_behind() -> None:
    made = model()
    engine, _ = taping(made)
    with pytest.raises(ZeroDivisionError):
        engine.complete(PROMPTS, N_TOKENS, progress=lambda done, total: 1 // (done < 4))
    assert engine.complete(PROMPTS, N_TOKENS) == plain(made)


def test_an_engine_that_nobody_has_gives_its_memory_back_at_once() -> None:
    """Two models may not fit on a card."""
    engine = TransformersEngine(model(), TOKENIZER, SLOTS, recorder=lambda device: lambda step: step)
    engine.complete(PROMPTS, 4)
    slots = weakref.ref(engine._slots)
    gc.disable()
    try:
        del engine
        assert slots() is None
    finally:
        gc.enable()


def turning(rope_type: str, **others: Any) -> Mapping[str, Any]:
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": 10000.0, "factor": 2.0, **others}}


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("llama", turning("dynamic")),
        (
            "phi3",
            turning("longrope", long_factor=[2.0] * 4, short_factor=[1.0] * 4, original_max_position_embeddings=16),
        ),
        ("mamba", {"state_size": 4}),
        ("bloom", {"n_layer": 3, "n_head": 2}),
    ],
    ids=str,
)
def test_steps_that_are_not_always_the_same_are_not_recorded(model_type: str, changes: Mapping[str, Any]) -> None:
    made = model(model_type, changes)
    engine, tapes = taping(made)
    assert not can_use_slots(made)
    assert engine.complete(PROMPTS, 8) == plain(made, n=8)
    assert tapes.n_recorded == 0


def test_a_tape_refuses_to_ask_the_device() -> None:
    """Experts one by one, as a card without grouped products computes them: not a fault of the tape's that others pass."""
    made: Any = model("mixtral")
    made.set_experts_implementation("eager")
    with pytest.raises(ForbiddenInGraphs, match="asks the device"):
        taping(made)[0].complete(PROMPTS, N_TOKENS)


def test_sizes_are_rounded_up_to_few() -> None:
    sizes = [rounded_up(n) for n in range(1, 513)]
    assert all(n <= size and 2 * size <= 3 * n for n, size in enumerate(sizes, start=1) if n > 1)
    assert sorted(set(sizes)) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    assert [columns_for(n) for n in (1, 16, 17)] == [16, 16, 24]


def test_no_more_shapes_are_kept_than_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_RECORDED > 2
    monkeypatch.setattr("merging.engines.transformers.slots.MAX_RECORDED", 2)
    made = model()
    engine, tapes = taping(made)
    assert engine.complete(PROMPTS, N_TOKENS) == engine.complete(PROMPTS, N_TOKENS) == plain(made)
    assert tapes.n_recorded > 4


NEEDS_A_CARD = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CARD: Final = torch.device("cuda")


def on_card(model_type: str, changes: Mapping[str, Any], seed: int = 3) -> PreTrainedModel:
    moved: Callable[[torch.device], PreTrainedModel] = model(model_type, changes, seed).to  # type: ignore[assignment]
    return moved(CARD)


@NEEDS_A_CARD
@EVERY_FAMILY
def test_every_family_says_the_same_from_a_graph(
    model_type: str, changes: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """In float32, where experts ask the device how many tokens each of them has, and are launched one by one."""
    made, graphs = on_card(model_type, changes), CudaGraphs(CARD)
    by_hand = TransformersEngine(made, TOKENIZER, SLOTS, recorder=no_graphs)
    engine = TransformersEngine(made, TOKENIZER, SLOTS, recorder=lambda device: graphs)
    with caplog.at_level(logging.WARNING):
        assert engine.complete(PROMPTS, N_TOKENS) == by_hand.complete(PROMPTS, N_TOKENS)
    assert bool(caplog.records) <= (model_type in ("mixtral", "qwen2_moe", "qwen3_moe"))
    write_in_place(made, on_card(model_type, changes, seed=4))
    assert engine.complete(PROMPTS, N_TOKENS) == by_hand.complete(PROMPTS, N_TOKENS)
    assert engine.complete(PROMPTS, N_TOKENS) == engine.complete(PROMPTS, N_TOKENS)


@NEEDS_A_CARD
def test_a_graph_is_launched_instead_of_the_step() -> None:
    calls, counter = [], torch.zeros(1, device=CARD)

    def step() -> None:
        calls.append(1)
        counter.add_(1)

    repeat = CudaGraphs(CARD)(step)
    before, n_calls = counter.item(), len(calls)
    repeat()
    repeat()
    assert (counter.item(), len(calls)) == (before + 2, n_calls)


@NEEDS_A_CARD
def test_what_cannot_be_captured_is_run_step_by_step_and_the_card_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    counter = torch.zeros(1, device=CARD)

    def step() -> None:
        counter.add_(1)
        counter.item()

    with caplog.at_level(logging.WARNING):
        repeat = CudaGraphs(CARD)(step)
    assert "kernel by kernel" in caplog.text
    before = counter.item()
    repeat()
    assert counter.item() == before + 1
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
