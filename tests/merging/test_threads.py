"""Threads inside a block are for the model; outside everything is as it was. And there are as many as torch would take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from merging.threads import TINY, n_threads, threads_for


@pytest.fixture(autouse=True)
def three_threads():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("n_parameters", "inside"), [(1000, 1), (TINY - 1, 1), (TINY, 3)])
def test_a_tiny_model_gets_one_thread(n_parameters: int, inside: int) -> None:
    with threads_for(n_parameters):
        assert torch.get_num_threads() == inside
    assert torch.get_num_threads() == 3


def test_an_exception_gives_the_threads_back() -> None:
    with pytest.raises(KeyError), threads_for(1):
        raise KeyError
    assert torch.get_num_threads() == 3


def test_where_torch_is_loaded_its_number_counts() -> None:
    assert n_threads() == 3


@pytest.mark.parametrize("asked", [{}, {"OMP_NUM_THREADS": "1"}, {"OMP_NUM_THREADS": "64", "MKL_NUM_THREADS": "1,2"}])
def test_without_torch_there_are_as_many_as_it_would_take(asked: dict[str, str]) -> None:
    code = (
        "from merging.threads import n_threads\nn = n_threads()\nimport torch\nprint(n == torch.get_num_threads(), n)"
    )
    given = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name} | asked
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=given, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.split()[:1] == ["True"], done
