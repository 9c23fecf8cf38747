"""What code reads, and whether it has changed; more in parity/test_fastest_changes.py."""

import numpy as np
import pytest
import torch

from deepxde_balance.gradients.watched.names_of_code import NotUnderstoodError, names_of
from deepxde_balance.gradients.watched.reads import Reads


def watch(value):
    reads = Reads()
    reads.add(value)
    assert reads.unchanged()
    return reads


def test_names_of_code():
    def outer(x):
        return [len(y.first) + sum(np.pi for _ in x) for y in x]

    names = names_of(outer.__code__)
    assert names.globals == {"len", "sum", "np"}
    assert {"first", "pi"} <= names.attributes


def with_an_import(x):
    import math

    return math.pi * x


def that_sets_an_attribute(x):
    x.seen = True


@pytest.mark.parametrize(
    "function",
    [with_an_import, that_sets_an_attribute, lambda x: x.__dict__, lambda x: np.random.rand() * x],
)
def test_code_that_is_not_understood(function):
    with pytest.raises(NotUnderstoodError):
        Reads().add(function)


def test_the_order_of_a_dict():
    table = {"a": 1.0, "b": 2.0}
    reads = watch(table)
    table["a"] = table.pop("a")
    assert not reads.unchanged()


def test_another_object_of_the_same_value():
    """It is no change, and a later change of it is seen."""
    table = {"nu": float("0.3"), "at": (1, float("2.5"))}
    reads = watch(table)
    table["nu"], table["at"] = float("0.3"), (1, float("2.5"))
    assert reads.unchanged() and reads.unchanged()
    table["at"] = (1, 2.25)
    assert not reads.unchanged()


@pytest.mark.parametrize("now", [True, 1, -1.0, np.float64(1.0), "1.0", None])
def test_values_that_are_easily_mistaken(now):
    table = [1.0]
    reads = watch(table)
    table[0] = now
    assert not reads.unchanged()


def test_what_was_added_after_a_question_is_watched():
    first, second = [1.0], [2.0]
    reads = watch(first)
    reads.add(second)
    second[0] = 3.0
    assert not reads.unchanged()


def test_values_of_tensors_are_not_watched_but_their_memory():
    tensor = torch.ones(3)
    reads = watch([tensor])
    tensor.mul_(2)
    assert reads.unchanged()
    tensor.data = torch.ones(3)
    assert not reads.unchanged()


def test_arrays_are_watched_up_to_a_size():
    array = np.zeros(100)
    reads = watch(array)
    array[99] = -0.0
    assert not reads.unchanged()
    with pytest.raises(NotUnderstoodError, match="an array of 9950 entries"):
        watch([np.zeros(100), np.zeros(9950)])
