"""What measurements over several seeds share: a file that they add to, and the figures of their tables."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a file, none when it is not there; a last line that was cut off is left out."""
    texts = file.read_text().split("\n") if file.exists() else [""]
    return [json.loads(text) for text in texts[:-1]]


def append(file: Path, line: object) -> None:
    """In one write, so that several processes can share a folder."""
    with file.open("ab", buffering=0) as stream:
        stream.write((json.dumps(line) + "\n").encode())


def plus_minus(values: NDArray[np.float64]) -> str:
    """The mean with half of its 95 % interval by Student's law; one value has none."""
    return f"{values.mean():.3f}" + (f" ± {half_width(values):.3f}" if len(values) > 1 else "")


def signed(values: NDArray[np.float64]) -> str:
    mean = values.mean()
    bounds = f" [{mean - half_width(values):+.3f}, {mean + half_width(values):+.3f}]" if len(values) > 1 else ""
    return f"{mean:+.3f}{bounds}"


def half_width(values: NDArray[np.float64]) -> float:
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n))


def sign_flips(values: NDArray[np.float64]) -> float:
    """The exact two-sided p of a mean difference: how many of all choices of signs give one as far from 0."""
    signs = np.array(list(product((-1, 1), repeat=len(values))))
    return float((np.abs(signs @ values) >= abs(values.sum()) - 1e-12).mean())
