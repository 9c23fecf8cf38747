"""The point weightings by themselves: arguments, names, weights worked by hand."""

import math

import numpy as np
import pytest
import torch

import deepxde_balance as ddb
from deepxde_balance import point_weightings
from deepxde_balance.point_weightings.base import WeighedTerm

RESIDUAL = WeighedTerm("pde", residual=True, has_time=True)


def started(rule, points, terms=(0,)):
    rule.reset(dict.fromkeys(terms, RESIDUAL), torch.zeros(1, dtype=torch.float64))
    for term in terms:
        rule.start(term, torch.tensor(points, dtype=torch.float64))
    return rule


def test_rba_by_hand():
    rule = started(ddb.RBA(gamma=0.5, eta=0.1), [[0.0], [1.0]])
    rule.update({0: torch.tensor([1.0, -2.0])})
    assert rule.weights(0).tolist() == pytest.approx([0.05**2, 0.1**2])
    rule.update({0: torch.tensor([3.0, 0.0])})
    assert rule.weights(0).tolist() == pytest.approx([0.125**2, 0.05**2])


def test_brdr_by_hand():
    """At first sqrt(v) = e^2: d = 1 everywhere. Then one error is halved and d = 1/4 / sqrt(v)."""
    rule = started(ddb.BRDR(beta_c=0.5, beta_w=0.0), [[0.0], [1.0]])
    rule.update({0: torch.tensor([1.0, 7.0], dtype=torch.float64)})
    assert rule.weights(0).tolist() == pytest.approx([1, 1])
    rule.update({0: torch.tensor([0.5, 7.0], dtype=torch.float64)})
    v = (0.5 * 0.5 + 0.5 * 0.5**4) / (1 - 0.5**2)
    d = [0.25 / math.sqrt(v), 1.0]
    assert rule.weights(0).tolist() == pytest.approx([2 * x / sum(d) for x in d])


@pytest.mark.parametrize("unit", [1.0, 2.0**40, 2.0**-10])
def test_brdr_of_errors_in_other_units(unit):
    """In single precision the fourth power of 2^40 overflows; weights have no unit."""
    found = []
    for factor in (1.0, unit):
        rule = ddb.BRDR(beta_c=0.5, beta_w=0.5)
        rule.reset({0: RESIDUAL}, torch.zeros(1))
        rule.start(0, torch.zeros(3, 1))
        for errors in ([1.0, 7.0, 2.0], [0.5, 7.0, 3.0], [0.1, 6.0, 1.0]):
            rule.update({0: factor * torch.tensor(errors)})
        found.append(rule.weights(0).tolist())
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert found[0][0] < 0.9 < found[0][1]


def test_causal_by_hand_on_irregular_points():
    """Four points in two chunks, not in the order of time; two points share a time."""
    rule = started(ddb.Causal(tolerance=0.5, chunks=2), [[9, 0.9], [9, 0.1], [9, 0.2], [9, 0.9]])
    rule.update({0: torch.tensor([5.0, 1.0, 3.0, 5.0], dtype=torch.float64)})
    later = math.exp(-0.5 * (1 + 9) / 2)
    assert rule.weights(0).tolist() == pytest.approx([later, 1, 1, later])
    assert rule.progress == pytest.approx(later)


def test_points_of_one_time_are_in_one_chunk():
    rule = started(ddb.Causal(chunks=8), [[0.3]] * 5)
    rule.update({0: torch.full((5,), 100.0)})
    assert rule.weights(0).tolist() == [1.0] * 5


def test_the_ladder_ends_at_its_last_value():
    rule = started(ddb.Causal("ladder", chunks=2), [[0.0], [1.0]])
    seen = [rule.present_tolerance]
    for _ in range(6):
        rule.update({0: torch.tensor([1e-3, 1.0])})
        seen.append(rule.present_tolerance)
    assert seen == pytest.approx([0.01, 0.1, 1, 10, 100, 100, 100])
    again = started(ddb.Causal("ladder", chunks=2), [[0.0], [1.0]])
    again.update({0: torch.tensor([1e-3, 1.0])})
    again.update({0: torch.tensor([math.nan, 1.0])})  # which tells nothing
    assert again.present_tolerance == pytest.approx(0.1)
    rule.update({0: torch.tensor([1.0, 1.0])})
    assert rule.progress == pytest.approx(math.exp(-100))


def test_names():
    assert point_weightings.names() == ["rba", "brdr", "causal", "sa"]
    rule = point_weightings.get("RBA:eta=0.001,inherit=nearest")
    assert (type(rule), rule.hyperparameters) == (
        ddb.RBA,
        {"inherit": "nearest", "gamma": 0.999, "eta": 0.001},
    )
    assert point_weightings.get(rule) is rule
    assert point_weightings.get("sa:lr=0.1").hyperparameters["lr"] == 0.1
    assert point_weightings.get("causal").hyperparameters["tolerance"] == [1.0]
    of_array = ddb.Causal(tolerance=np.array([0.1, 1.0]))
    assert of_array.hyperparameters["tolerance"] == [0.1, 1.0]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ddb.RBA(gamma=1), "gamma=1 is not allowed"),
        (lambda: ddb.RBA(eta=0), "eta=0 is not allowed"),
        (lambda: ddb.RBA(inherit="all"), "inherit='all' is not allowed"),
        (lambda: ddb.BRDR(beta_c=-0.1), "beta_c=-0.1"),
        (lambda: ddb.BRDR(beta_w=1.0), "beta_w=1.0"),
        (lambda: ddb.Causal(tolerance=0), "tolerance=0 is not allowed"),
        (lambda: ddb.Causal(tolerance=[1, 0.1]), "must ascend"),
        (lambda: ddb.Causal(tolerance=[]), "ascending numbers or 'ladder'"),
        (lambda: ddb.Causal(tolerance="steep"), "ascending numbers or 'ladder'"),
        (lambda: ddb.Causal(chunks=1), "chunks=1 is not allowed"),
        (lambda: ddb.Causal(threshold=1), "threshold=1"),
        (lambda: point_weightings.get("sa:lr=0"), "lr=0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_parameter_that_a_name_does_not_have():
    with pytest.raises(TypeError, match="'rba' has no parameter 'decay': it takes gamma, eta, "):
        point_weightings.get("rba:decay=0.9")
