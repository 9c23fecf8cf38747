"""ReLoBRaLo against its equations in plain Python."""

import math

import pytest
import torch
from _support.weighting_properties import (
    assert_has_memory,
    assert_is_a_good_weighting,
    losses_at,
    started,
)

from deepxde_balance import weightings
from deepxde_balance.weightings import ReLoBRaLo


@pytest.mark.parametrize("expected_rho", [0.999, 0.5, 0.0])
def test_it_is_a_good_weighting(expected_rho):
    def make():
        return ReLoBRaLo(alpha=0.9, temperature=1.0, expected_rho=expected_rho)

    assert_is_a_good_weighting(make)
    assert_has_memory(make)


def balanced(now, earlier, temperature):
    powers = [math.exp(a / (temperature * b)) for a, b in zip(now, earlier, strict=True)]
    return [len(now) * power / sum(powers) for power in powers]


def equations(losses, alpha, temperature, rhos):
    weights, applied = [1.0] * len(losses[0]), []
    for t, (now, rho) in enumerate(zip(losses, rhos, strict=True)):
        if t > 0:
            from_first = balanced(now, losses[0], temperature)
            from_last = balanced(now, losses[t - 1], temperature)
            history = [rho * w + (1 - rho) * b for w, b in zip(weights, from_first, strict=True)]
            weights = [alpha * h + (1 - alpha) * b for h, b in zip(history, from_last, strict=True)]
        applied.append(weights)
    return applied


@pytest.mark.parametrize(
    "alpha, temperature, expected_rho",
    [(0.999, 0.1, 0.999), (0.9, 1.0, 1.0), (0.9, 1.0, 0.0), (0.5, 0.7, 0.5), (0.0, 2.0, 0.5)],
)
def test_equations(alpha, temperature, expected_rho):
    losses = [losses_at(seed).tolist() for seed in range(20)]
    weighting = started(ReLoBRaLo(alpha, temperature, expected_rho))
    torch.manual_seed(3)
    rhos = [torch.empty((), dtype=torch.float64).bernoulli_(expected_rho).item() for _ in losses]
    torch.manual_seed(3)
    for row, expected in zip(losses, equations(losses, alpha, temperature, rhos), strict=True):
        weighting.update(torch.tensor(row, dtype=torch.float64))
        torch.testing.assert_close(weighting.weights.tolist(), expected, rtol=1e-9, atol=1e-300)
        assert weighting.weights.sum().item() == pytest.approx(3)
    if expected_rho == 0.5:
        assert 0 < sum(rhos) < len(rhos)


def test_the_first_weights_are_one():
    weighting = started(ReLoBRaLo())
    weighting.update(losses_at(0))
    torch.testing.assert_close(weighting.weights, torch.ones(3, dtype=torch.float64))


def test_losses_far_apart_do_not_overflow():
    weighting = started(ReLoBRaLo(alpha=0.0, temperature=0.01))
    weighting.update(torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64))
    weighting.update(torch.tensor([1e6, 1.0, 1e-6], dtype=torch.float64))
    assert weighting.weights.tolist() == [3.0, 0.0, 0.0]


def test_losses_of_zero():
    """Group 1 starts at 0 and is measured from its first positive loss; then falls to 0."""
    weighting = started(ReLoBRaLo(alpha=0.5, temperature=1.0, expected_rho=0.0))
    e = math.e

    def after(*losses):
        weighting.update(torch.tensor(losses, dtype=torch.float64))
        return pytest.approx(weighting.weights.tolist())

    assert after(1.0, 0.0, 1.0) == [1.0, 1.0, 1.0]
    assert weighting.ever_skipped().tolist() == [False, True, False]
    assert after(1.0, 5.0, 1.0) == [1.0, 1.0, 1.0]
    total = e + 1 + e
    assert after(1.0, 0.0, 1.0) == [3 * e / total, 3 / total, 3 * e / total]
    # From first: ratios 1, 1, 1 again; from last: a last loss of 0 counts as the present one.
    assert after(1.0, 5.0, 1.0) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "name, value, interval",
    [
        ("alpha", 1, r"\[0, 1\)"),
        ("alpha", -0.1, r"\[0, 1\)"),
        ("temperature", 0, r"\(0, inf\)"),
        ("temperature", math.nan, r"\(0, inf\)"),
        ("expected_rho", 1.1, r"\[0, 1\]"),
    ],
)
def test_hyperparameters_are_checked(name, value, interval):
    with pytest.raises(ValueError, match=rf"{name}=.*{interval}"):
        ReLoBRaLo(**{name: value})


def test_name():
    made = weightings.get("relobralo", temperature=1.0)
    assert type(made) is ReLoBRaLo
    assert made.hyperparameters["temperature"] == 1.0
