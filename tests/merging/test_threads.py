"""Threads inside a block are for the model; outside everything is as it was."""

import pytest
import torch

from merging.threads import TINY, threads_for


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
