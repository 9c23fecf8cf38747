"""What a range or a list of choices means, and what is refused."""

import math

import numpy as np
import pytest
from skopt.space import Categorical, Integer, Real

from deepxde_balance.experiments.dimensions import Choice, Range, dimension


@pytest.mark.parametrize(
    "given, expected",
    [
        ((0.5, 0.999), Range("x", 0.5, 0.999, False, False)),
        ((1, 10), Range("x", 1, 10, True, False)),
        ((1, 99), Range("x", 1, 99, True, False)),
        ((1, 100), Range("x", 1, 100, True, True)),
        ((0.01, 1.0), Range("x", 0.01, 1.0, False, True)),
        ((1, 1e4), Range("x", 1.0, 1e4, False, True)),
        ((0, 1e4), Range("x", 0.0, 1e4, False, False)),
        ((-1, 1e4), Range("x", -1.0, 1e4, False, False)),
        ((np.float32(0.5), np.int64(2)), Range("x", 0.5, 2.0, False, False)),
        (Real(1, 1e4), Range("x", 1.0, 1e4, False, False)),
        (Real(1, 2, prior="log-uniform"), Range("x", 1.0, 2.0, False, True)),
        (Integer(1, 1000), Range("x", 1, 1000, True, False)),
        (Integer(1, 5, prior="log-uniform"), Range("x", 1, 5, True, True)),
        (Categorical([1, 5], prior=[0.25, 0.75]), Choice("x", (1, 5), (0.25, 0.75))),
        (["mean", None, True, 2.5], Choice("x", ("mean", None, True, 2.5))),
        ([1, math.inf], Choice("x", (1, math.inf))),
    ],
)
def test_what_a_user_may_give(given, expected):
    found = dimension("x", given)
    assert found == expected
    if isinstance(found, Range):
        kind = int if found.integer else float
        assert type(found.low) is type(found.high) is kind


def test_weights_and_options_that_are_fractions():
    assert dimension("x", (1, 3), log=True, real=True) == Range("x", 1.0, 3.0, False, True)
    assert dimension("x", (0, 1), real=True) == Range("x", 0.0, 1.0, False, False)


@pytest.mark.parametrize(
    "given, message",
    [
        ((2, 1), r"space\['x'\]=\(2, 1\) is not allowed: the first number must be below"),
        ((1.0, 1.0), "the first number must be below"),
        ((0.0, math.inf), "the first number must be below the second, and both finite"),
        ((math.nan, 1.0), "and both finite"),
        ([1], r"space\['x'\]=\[1\] is not allowed: give two choices or more"),
        ([], "give two choices or more"),
        ([1, 2, 1], "each once"),
        (Categorical(["a"]), "give two choices or more"),
    ],
)
def test_wrong_values(given, message):
    with pytest.raises(ValueError, match=message):
        dimension("x", given)


@pytest.mark.parametrize("low", [0, -1.0])
def test_a_logarithmic_scale_has_no_zero(low):
    with pytest.raises(ValueError, match="its scale is logarithmic, so both numbers must be above"):
        dimension("x", (low, 10), log=True)


@pytest.mark.parametrize(
    "given, message",
    [
        (3, r"space\['x'\]=3 is not allowed: give a tuple of two numbers"),
        ((1, 2, 3), "give a tuple of two numbers"),
        (("a", "b"), "give a tuple of two numbers"),
        ((True, 2), "give a tuple of two numbers"),
        ("1:2", "give a tuple of two numbers"),
        (None, "give a tuple of two numbers"),
        ([1, [2]], r"has the choice \[2\], which is not allowed"),
    ],
)
def test_wrong_kinds(given, message):
    with pytest.raises(TypeError, match=message):
        dimension("x", given)


@pytest.mark.parametrize(
    "given, raw, value",
    [
        ((0.5, 0.999), 0.812345, 0.8123),
        ((0.999, 0.99999), 0.9987654321, 0.999),
        ((0.999, 0.99999), 0.99912345678, 0.9991235),
        ((1.0, 1e4), 123.456, 123.5),
        ((1.0, 1e4), 1234.56, 1235.0),
        ((1e-6, 1.0), 1.23456e-5, 1.23e-5),
        ((1.0, 1e4), 9999.99, 1e4),
        (Real(1.23456, 1e4, prior="log-uniform"), 1.23456, 1.235),
        (Real(0.1, 1234.56, prior="log-uniform"), 1234.56, 1234.56),
        ((1, 50), np.int64(7), 7),
        (["a", None, 2.5], np.int64(1), None),
    ],
)
def test_values_are_short_and_inside(given, raw, value):
    one = dimension("x", given)
    found = one.rounded(raw)
    assert found == value and type(found) is type(value)
    assert found in one


@pytest.mark.parametrize("given", [(0.5, 0.999), (1.0, 1e4), (1, 100), [None, "a", math.inf]])
def test_scikit_optimize_takes_every_value_back(given):
    one = dimension("x", given)
    space = one.scikit()
    for raw in space.rvs(50, random_state=0):
        assert one.raw(one.rounded(raw)) in space
        assert one.value(one.raw(one.rounded(raw))) == one.rounded(raw)


@pytest.mark.parametrize(
    "given, value", [(Real(0, 1e4), 1), ((1.0, 1e4), 9999.99), ((0, 50), 7), ((0.5, 0.999), 2 / 3)]
)
def test_what_is_given_is_not_rounded(given, value):
    one = dimension("x", given)
    assert one.value(one.raw(value)) == value


def test_choices_that_are_equal_in_python():
    one = dimension("x", [1, True, 0, False])
    assert [one.raw(value) for value in (1, True, 0, False)] == [0, 1, 2, 3]
    assert [one.value(i) for i in range(4)] == [1, True, 0, False]
    assert type(one.value(one.raw(True))) is bool
    assert dimension("x", [2.0, 1.0]).raw(1) == 1  # of another type, but no other number


def test_what_is_inside():
    beta, every, choice = (dimension("x", g) for g in ((0.5, 0.9), (1, 9), ["a", None]))
    assert 0.5 in beta and 0.9 in beta and 0.95 not in beta and None not in beta
    assert 9 in every and 9.0 in every and 2.5 not in every and True not in every
    assert None in choice and "b" not in choice
