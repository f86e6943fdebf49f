"""Registries name what they hold and what is near."""

import pytest

from merging.errors import MergingError, UnknownNameError
from merging.registry import Registry, plugins


def registry() -> Registry[int]:
    found: Registry[int] = Registry("fruit")
    found.register("apple", 1)
    found.register("pear", 2)
    return found


def test_entries_come_back_in_order_of_registration() -> None:
    assert registry().names() == ("apple", "pear")
    assert list(registry()) == [1, 2]
    assert len(registry()) == 2 and "pear" in registry() and "plum" not in registry()


def test_a_name_twice_is_an_error() -> None:
    with pytest.raises(MergingError, match="two fruits named 'apple'"):
        registry().register("apple", 3)


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"no fruit named 'aple'. Did you mean apple\? Known: apple, pear"):
        registry().get("aple")


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(UnknownNameError) as raised:
        registry().get("xyz")
    assert "mean" not in str(raised.value)


def test_plugins_are_the_modules_of_a_package_by_name() -> None:
    names = [module.__name__ for module in plugins("merging.methods")]
    assert names == sorted(names) and "merging.methods.dare_ties" in names
