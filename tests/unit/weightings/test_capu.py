"""CAPU (Hu, Basir & Senocak 2026) against its algorithm in plain Python."""

import math

import pytest
import torch
from _support.weighting_properties import (
    assert_has_memory,
    assert_keeps_single_precision,
    assert_reads_nothing_on_the_host,
    assert_resumes,
    losses_at,
    started,
)

import deepxde_balance as ddb


def by_hand(sequence, eta, zeta=0.99, omega=0.999):
    """The weights after each update: of the residual first."""
    m, p, v, last = [1.0, 1.0], [1.0, 1.0], [0.0, 0.0], math.inf
    weights = []
    for residual, *constraints in sequence:
        for i, c in enumerate(constraints):
            v[i] = zeta * v[i] + (1 - zeta) * c * c
        value = residual + sum(m[i] * c + p[i] * c * c / 2 for i, c in enumerate(constraints))
        if value >= omega * last:
            for i, c in enumerate(constraints):
                m[i] += p[i] * c
                p[i] = max(p[i], eta / math.sqrt(v[i] + 1e-16))
        last = value
        weights.append([1.0] + [m[i] + p[i] * c for i, c in enumerate(constraints)])
    return weights


def falling_and_not(number=30):
    """Losses that fall by a tenth, and stay every third time."""
    losses, sequence = [3.0, 0.5, 2.0], []
    for k in range(number):
        if k % 3:
            losses = [0.9 * loss for loss in losses]
        sequence.append(list(losses))
    return sequence


@pytest.mark.parametrize("eta, omega", [(1.0, 0.999), (0.01, 0.999), (1.0, 0.5)])
def test_30_updates(eta, omega):
    weighting = started(ddb.CAPU(eta=eta, omega=omega))
    for losses, expected in zip(
        falling_and_not(), by_hand(falling_and_not(), eta, omega=omega), strict=True
    ):
        weighting.update_and_check(torch.tensor(losses, dtype=torch.float64))
        assert weighting.weights.tolist() == pytest.approx(expected, rel=1e-12)


def test_multipliers_wait_while_the_lagrangian_falls():
    weighting = started(ddb.CAPU())
    for losses in ([8.0, 4.0, 2.0], [4.0, 2.0, 1.0], [2.0, 1.0, 0.5]):
        weighting.update_and_check(torch.tensor(losses, dtype=torch.float64))
    assert weighting.weights.tolist() == [1.0, 1 + 1.0, 1 + 0.5]  # m + p C with m = p = 1


def test_no_condition_is_let_go():
    """Losses as they come: no weight of a condition is ever below 1."""
    weighting = started(ddb.CAPU(eta=0.1))
    for seed in range(200):
        weighting.update_and_check(losses_at(seed))
        assert (weighting.weights >= 1).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 2])
def test_nothing_is_taken_in_from_losses_that_are_not_finite(bad, which):
    clean, spoilt = started(ddb.CAPU()), started(ddb.CAPU())
    for losses in falling_and_not(10):
        for weighting in (clean, spoilt):
            weighting.update_and_check(torch.tensor(losses, dtype=torch.float64))
        wrong = torch.tensor(losses, dtype=torch.float64)
        wrong[which] = bad
        spoilt.update_and_check(wrong)
        assert torch.equal(spoilt.weights, clean.weights)


def test_state_and_types():
    assert_resumes(ddb.CAPU)
    assert_has_memory(ddb.CAPU)
    assert_reads_nothing_on_the_host(ddb.CAPU)
    assert_keeps_single_precision(ddb.CAPU)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ddb.CAPU(eta=0), "eta=0"),
        (lambda: ddb.CAPU(zeta=1), "zeta=1"),
        (lambda: ddb.CAPU(omega=1.1), "omega=1.1"),
        (lambda: ddb.CAPU().check(["pde"]), "no condition"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
