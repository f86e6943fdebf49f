"""A finished folder as one GGUF file, by llama.cpp's own programs where they are installed. No torch.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import shutil
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merging.errors import ConversionError, RoomError
from merging.finished.children import environment, last_line, run_apart

CONVERTER: Final = "convert_hf_to_gguf.py"
QUANTIZER: Final = "llama-quantize"
CONVERTED: Final = {"BF16": "bf16", "F16": "f16", "Q8_0": "q8_0"}
"""What the converter writes by itself, by the words that it takes."""
QUANTIZED: Final = ("Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M")
"""What the quantizer makes of 16 bits."""
TYPES: Final = (*CONVERTED, *QUANTIZED)
MISSING: Final = (
    "llama.cpp's converter is not installed where Progeny runs: put convert_hf_to_gguf.py on the PATH, or set PROGENY_LLAMA_CPP to the "
    "folder of a llama.cpp checkout, and start Progeny again"
)
START_SECONDS: Final = 600.0
BYTES_A_SECOND: Final = 5e6
MAGIC: Final = b"GGUF"
HEADER: Final = struct.Struct("<4sIQQ")
"""Magic, version, how many tensors, how many entries of metadata."""
VERSIONS: Final = (2, 3)


@dataclass(frozen=True)
class Tools:
    """How llama.cpp's programs are started here. Without a quantizer only what the converter writes can be had."""

    converter: tuple[str, ...]
    quantizer: str | None

    @property
    def types(self) -> tuple[str, ...]:
        """What can be made here."""
        return TYPES if self.quantizer else tuple(CONVERTED)


def find_tools(folder: str = "") -> Tools | None:
    """Those of a checkout of llama.cpp, its programs built or not; for "" those on the PATH. None when there is no converter."""
    if not folder:
        found = shutil.which(CONVERTER)
        return Tools((found,), shutil.which(QUANTIZER)) if found else None
    checkout = Path(folder).expanduser()
    built = next(
        (path for path in (checkout / "build" / "bin" / QUANTIZER, checkout / QUANTIZER) if path.is_file()), None
    )
    script = checkout / CONVERTER
    return (
        Tools((sys.executable, str(script)), str(built or "") or shutil.which(QUANTIZER)) if script.is_file() else None
    )


def convert(folder: Path, out: Path, kind: str, tools: Tools, tick: Callable[[float], None]) -> None:
    """Writes `out` from the model in `folder`; `kind` is one of `tools.types`. ConversionError says what a program said.

    `tick` is called twice a second with the share that is written; what it raises ends the program.
    """
    if kind not in tools.types:
        raise ConversionError(f"{kind} cannot be made here; expected one of {', '.join(tools.types)}")
    n_bytes = sum(path.stat().st_size for path in folder.iterdir())
    if (free := shutil.disk_usage(out.parent).free) < n_bytes:
        raise RoomError(str(out.parent), n_bytes, free)
    if kind in CONVERTED:
        _convert(folder, out, CONVERTED[kind], tools, n_bytes, tick)
        return
    between = out.with_name(f"{out.name}.16")
    try:
        _convert(folder, between, "f16", tools, n_bytes, lambda share: tick(share / 2))
        _run((str(tools.quantizer), str(between), str(out), kind), out, n_bytes, lambda share: tick(0.5 + share / 2))
        check_header(out)
    finally:
        between.unlink(missing_ok=True)


def check_header(path: Path) -> int:
    """How many tensors a file says that it has; ConversionError when it is no GGUF file, or has none."""
    with path.open("rb") as file:
        head = file.read(HEADER.size)
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise ConversionError(f"{path.name} does not begin as a GGUF file does")
    _, version, n_tensors, n_entries = HEADER.unpack(head)
    if version not in VERSIONS or not n_tensors or not n_entries:
        raise ConversionError(
            f"{path.name} is GGUF of version {version} with {n_tensors} tensors and {n_entries} entries of metadata; expected "
            f"version {' or '.join(map(str, VERSIONS))} and some of each"
        )
    return int(n_tensors)


def _convert(folder: Path, out: Path, outtype: str, tools: Tools, n_bytes: int, tick: Callable[[float], None]) -> None:
    _run((*tools.converter, str(folder), "--outfile", str(out), "--outtype", outtype), out, n_bytes, tick)
    check_header(out)


def _run(command: tuple[str, ...], out: Path, n_bytes: int, tick: Callable[[float], None]) -> None:
    def look() -> None:
        tick(min(1.0, out.stat().st_size / n_bytes) if out.exists() else 0.0)

    seconds = START_SECONDS + n_bytes / BYTES_A_SECOND
    done = run_apart(command, "", seconds, look, environment("PATH", "LD_LIBRARY_PATH", "LANG"))
    program = Path(command[1] if command[0] == sys.executable else command[0]).name
    if done is None:
        raise ConversionError(f"{program} did not end within {seconds / 60:.0f} minutes")
    if done.returncode or not out.is_file():
        raise ConversionError(f"{program} could not convert the model: {last_line(done.stderr or done.stdout)}")
