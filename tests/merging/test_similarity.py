"""How alike two task vectors are: against a few lines of NumPy, and by what must hold of any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from merging import similarity
from merging.demo import PACK
from merging.errors import ParentError
from merging.recipes import Parent
from merging.similarity import Likeness, likeness
from tests.merging.models import write_parent

BASE, ADDITION, SUBTRACTION = (Parent(name, str(PACK / name), "") for name in ("base", "addition", "subtraction"))


def compared(base: Parent, first: Parent, second: Parent) -> Likeness:
    return likeness(base, first, second, lambda share: None)


def task_vectors(name: str) -> dict[str, np.ndarray]:
    tensors, base = load_file(PACK / name / "model.safetensors"), load_file(PACK / "base" / "model.safetensors")
    return {
        key: (value.double() - base[key].double()).ravel().numpy()
        for key, value in tensors.items()
        if ".layers." in key
    }


@pytest.mark.parametrize("block", [similarity.BLOCK, 1000])
def test_the_demo_s_task_vectors_are_as_alike_as_numpy_says(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "BLOCK", block)
    found = compared(BASE, ADDITION, SUBTRACTION)
    first, second = task_vectors("addition"), task_vectors("subtraction")
    one = np.concatenate(list(first.values()))
    other = np.concatenate([second[name] for name in first])
    assert found.cosine == pytest.approx(one @ other / np.linalg.norm(one) / np.linalg.norm(other), abs=1e-6)
    changed = (one != 0) & (other != 0)
    assert found.agreement == pytest.approx((np.sign(one) == np.sign(other))[changed].mean())
    name = "model.layers.2.mlp.up_proj.weight"
    a, b = first[name], second[name]
    row = found.parts.index("mlp.up_proj")
    assert found.cosines[row][2] == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b), abs=1e-6)
    assert len(found.cosines[row]) == 4


def test_a_model_is_like_itself_and_the_order_does_not_matter() -> None:
    itself = compared(BASE, ADDITION, ADDITION)
    assert itself.cosine == pytest.approx(1) and itself.agreement == 1
    one, other = compared(BASE, ADDITION, SUBTRACTION), compared(BASE, SUBTRACTION, ADDITION)
    assert one.cosine == other.cosine and one.norms == other.norms[::-1]


def test_what_has_learned_nothing_is_like_nothing() -> None:
    found = compared(BASE, BASE, ADDITION)
    assert found.cosine is None and found.agreement is None and found.norms[0] == 0
    assert Likeness.from_json(found.to_json()) == found


def test_how_far_it_is_grows_to_the_end() -> None:
    told: list[float] = []
    likeness(BASE, ADDITION, SUBTRACTION, told.append)
    assert told == sorted(told) and told[-1] == 1


def test_models_of_other_shapes_are_refused_by_name(tmp_path: Path) -> None:
    small = Parent("small", str(write_parent(tmp_path / "small")), "")
    with pytest.raises(ParentError, match="no task vectors from one base: small has"):
        compared(BASE, small, ADDITION)


def test_infinity_has_no_angle(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    for file in (PACK / "addition").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if ".layers.0." in name)
    tensors[name] = torch.full_like(tensors[name], torch.inf)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ParentError, match="not finite"):
        compared(BASE, Parent("odd", str(folder), ""), ADDITION)
