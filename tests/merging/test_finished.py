"""What is asked of a model before and after it is written, and GGUF files by llama.cpp's own converter where there is one."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merging.errors import ConversionError, LoadError, ParentError
from merging.finished import gguf
from merging.finished.after import check_after
from merging.finished.before import check_before
from merging.finished.children import run_apart
from merging.recipes import Companions, Parent, uniform_average
from merging.workbench import Workbench
from tests.merging.models import edit_json, parent, set_config, write_parent

CONVERTER = os.environ.get("PROGENY_TEST_LLAMA_CPP", "")
WRITES = """\
#!{python}
import struct, sys
out = sys.argv[sys.argv.index("--outfile") + 1]
open(out, "wb").write(struct.pack("<4sIQQ", b"{magic}", 3, 12, 5))
"""


def quiet() -> None:
    """A tick."""


@pytest.fixture(scope="module")
def built(relatives: dict[str, Parent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "model"
    Workbench("cpu").build(uniform_average([relatives["one"], relatives["two"]]), folder, {"README.md": "card"})
    return folder


def test_a_sound_recipe_passes_and_a_missing_template_is_told(relatives: dict[str, Parent]) -> None:
    found = check_before(uniform_average([relatives["one"], relatives["two"]]))
    assert [(check.name, check.tone) for check in found] == [
        ("Dimensions", "good"), ("Vocabulary", "good"), ("Chat template", "warn"),
    ]  # fmt: skip
    assert "259 rows" in found[1].found


@pytest.mark.parametrize(
    ("template", "tone", "told"),
    [
        ("{% for m in messages %}{{ m['content'] }}{% endfor %}", "good", "takes a user's turn"),
        ("{{ raise_exception('only pictures') }}", "bad", "only pictures"),
    ],
)
def test_a_chat_template_is_tried(relatives: dict[str, Parent], template: str, tone: str, told: str) -> None:
    recipe = replace(uniform_average([relatives["one"], relatives["two"]]), companions=Companions("same", template))
    found = check_before(recipe)[-1]
    assert found.tone == tone and told in found.found


def test_a_token_without_a_row_is_refused(tmp_path: Path) -> None:
    folder = write_parent(tmp_path / "short")
    edit_json(folder / "tokenizer.json", lambda value: value["added_tokens"][-1].update(id=259))
    with pytest.raises(ParentError, match="1 tokens of a, such as '<pad>', lie beyond its 259 embeddings"):
        check_before(uniform_average([parent(folder, "a"), parent(folder, "b")]))


def test_a_finished_folder_loads_in_a_fresh_process_and_talks(built: Path) -> None:
    """Four seconds: the process imports transformers."""
    n_ticks: list[None] = []
    found = check_after(built, ["one plus two is", "three?"], lambda: n_ticks.append(None))
    assert [said.prompt for said in found] == ["one plus two is", "three?"] and n_ticks
    assert all(said.text.strip() or said.concern == "it says nothing" for said in found)
    assert json.loads((built / "generation_config.json").read_text())["eos_token_id"] == 257


@pytest.mark.slow
def test_numbers_that_are_not_finite_are_a_concern_and_missing_ones_an_error(built: Path, tmp_path: Path) -> None:
    """Two more processes that import transformers."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in built.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"] = torch.full_like(tensors["model.norm.weight"], float("inf"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    (said,) = check_after(broken, ["one"], quiet)
    assert said.concern == "some of its logits are not finite"
    del tensors["model.norm.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LoadError, match=r"missing keys: \['model.norm.weight'\]"):
        check_after(broken, ["one"], quiet)


def test_a_program_that_takes_too_long_or_is_not_wanted_is_ended(tmp_path: Path) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert run_apart(waits, "", 0.1, quiet, {}) is None

    def unwanted() -> None:
        raise KeyError("not wanted any more")

    with pytest.raises(KeyError):
        run_apart(waits, "", 60, unwanted, {})


def checkout(folder: Path, magic: str = "GGUF") -> gguf.Tools:
    """A converter that writes a header and nothing else."""
    folder.mkdir()
    script = folder / gguf.CONVERTER
    script.write_text(WRITES.format(python=sys.executable, magic=magic))
    script.chmod(0o755)
    tools = gguf.find_tools(str(folder))
    assert tools is not None
    return tools


def test_the_converter_is_found_by_setting_or_path_and_offers_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "tools"))
    assert gguf.find_tools() is None and gguf.find_tools(str(tmp_path)) is None
    tools = checkout(tmp_path / "tools")
    assert gguf.find_tools() == gguf.Tools((str(tmp_path / "tools" / gguf.CONVERTER),), None)
    assert tools.converter[0] == sys.executable and tools.types == ("BF16", "F16", "Q8_0")
    (tmp_path / "tools" / gguf.QUANTIZER).touch(mode=0o755)
    assert "Q4_K_M" in (gguf.find_tools(str(tmp_path / "tools")) or tools).types


def test_what_a_converter_writes_is_looked_at(built: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    tick: Callable[[float], None] = shares.append
    gguf.convert(built, tmp_path / "m.gguf", "F16", checkout(tmp_path / "good"), tick)
    assert gguf.check_header(tmp_path / "m.gguf") == 12
    with pytest.raises(ConversionError, match="does not begin as a GGUF file"):
        gguf.convert(built, tmp_path / "m.gguf", "F16", checkout(tmp_path / "bad", "PKPK"), tick)
    (tmp_path / "bad" / gguf.CONVERTER).write_text("raise NotImplementedError('BPE pre-tokenizer was not recognized')")
    with pytest.raises(ConversionError, match="could not convert the model: NotImplementedError: BPE pre-tokenizer"):
        gguf.convert(built, tmp_path / "m.gguf", "F16", gguf.find_tools(str(tmp_path / "bad")) or tick, tick)  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match="expected one of BF16, F16, Q8_0"):
        gguf.convert(built, tmp_path / "m.gguf", "Q4_K_M", checkout(tmp_path / "plain"), tick)


@pytest.mark.slow
@pytest.mark.skipif(not CONVERTER, reason="PROGENY_TEST_LLAMA_CPP names no checkout of llama.cpp")
def test_the_real_converter_takes_what_is_built(
    relatives: dict[str, Parent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every tensor comes back as it was, by the names that llama.cpp has for them. The tokenizer is one that it knows: Llama 2's kind."""
    monkeypatch.syspath_prepend(str(Path(CONVERTER) / "gguf-py"))
    reader_of = pytest.importorskip("gguf").GGUFReader

    folder = tmp_path / "model"
    Workbench("cpu").build(uniform_average([relatives["one"], relatives["two"]]), folder)
    as_sentence_pieces(folder)
    tools = gguf.find_tools(CONVERTER)
    assert tools is not None
    gguf.convert(folder, tmp_path / "m.gguf", "F16", tools, lambda share: None)
    reader = reader_of(tmp_path / "m.gguf")
    expected = load_file(folder / "model.safetensors")
    assert len(reader.tensors) == len(expected) == gguf.check_header(tmp_path / "m.gguf")
    found = next(one for one in reader.tensors if one.name == "token_embd.weight")
    rows = torch.from_numpy(found.data.copy()).view(torch.float16).reshape(expected["model.embed_tokens.weight"].shape)
    assert torch.equal(rows, expected["model.embed_tokens.weight"].to(torch.float16))


def as_sentence_pieces(folder: Path) -> None:
    """A tokenizer of bytes as `tokenizer.model`, which is a protocol buffer: pieces with their kinds."""
    pieces = [("<unk>", 2), ("<s>", 3), ("a", 1), *((f"<0x{byte:02X}>", 6) for byte in range(256))]

    def field(number: int, kind: int, payload: bytes) -> bytes:
        return bytes([number << 3 | kind]) + payload

    def piece(text: str, kind: int) -> bytes:
        body = (
            field(1, 2, bytes([len(text)]) + text.encode())
            + field(2, 5, struct.pack("<f", 0.0))
            + field(3, 0, bytes([kind]))
        )
        return field(1, 2, bytes([len(body)]) + body)

    byte_fallback = b"\x98\x02\x01"  # field 35 of the trainer's settings
    settings = field(2, 2, bytes([len(byte_fallback)]) + byte_fallback)
    (folder / "tokenizer.model").write_bytes(b"".join(piece(text, kind) for text, kind in pieces) + settings)
    (folder / "tokenizer.json").unlink()
    set_config(folder, vocab_size=259, architectures=["LlamaForCausalLM"])
