"""SoftAdapt against its algorithm in plain Python, and its derivatives against polynomials."""

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
from deepxde_balance.weightings import SoftAdapt

VARIANTS = ["original", "normalized", "loss-weighted"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("order", [1, 3])
def test_it_is_a_good_weighting(variant, order):
    def make():
        return SoftAdapt(order=order, variant=variant)

    assert_is_a_good_weighting(make)
    assert_has_memory(make)


def algorithm_1(window, beta, variant):
    """Weights from the last two losses of each group."""
    rates = [now - before for before, now in zip(*window, strict=True)]
    if variant == "normalized":
        rates = [rate / sum(map(abs, rates)) for rate in rates]
    powers = [math.exp(beta * rate) for rate in rates]
    if variant == "loss-weighted":
        means = [(before + now) / 2 for before, now in zip(*window, strict=True)]
        powers = [mean * power for mean, power in zip(means, powers, strict=True)]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("beta", [0.1, 2.0, -1.0])
def test_algorithm(variant, beta):
    losses = [losses_at(seed).tolist() for seed in range(6)]
    weighting = started(SoftAdapt(beta=beta, variant=variant))
    for t, row in enumerate(losses):
        weighting.update(torch.tensor(row, dtype=torch.float64))
        window = losses[t - 1 : t + 1]
        expected = algorithm_1(window, beta, variant) if t else [1 / 3] * 3
        torch.testing.assert_close(weighting.weights.tolist(), expected)
        assert weighting.weights.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_rates_are_exact_for_polynomials_of_the_order(order):
    """L_i(t) = a_i t^order + b_i has the rate a_i order t^(order - 1)."""
    a, b = (torch.tensor(v, dtype=torch.float64) for v in ([3.0, -1.0, 0.5], [10.0, 9e3, 1.0]))
    weighting = started(SoftAdapt(beta=0.01, order=order))
    for t in range(1, 8):
        weighting.update(a * t**order + b)
        if t <= order:
            torch.testing.assert_close(weighting.weights, torch.full((3,), 1 / 3).double())
        else:
            rates = a * order * t ** (order - 1)
            torch.testing.assert_close(weighting.weights, torch.softmax(0.01 * rates, dim=0))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("value", [0.0, 2.0])
def test_losses_that_stay_are_weighted_alike(variant, value):
    weighting = started(SoftAdapt(variant=variant))
    for _ in range(3):
        weighting.update(torch.full((3,), value, dtype=torch.float64))
        torch.testing.assert_close(weighting.weights, torch.full((3,), 1 / 3).double())


def test_losses_far_apart_do_not_overflow():
    weighting = started(SoftAdapt(beta=1.0))
    for row in ([0.0, 0.0, 0.0], [1e6, 1.0, 0.0]):
        weighting.update(torch.tensor(row, dtype=torch.float64))
    assert weighting.weights.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"beta": math.inf}, r"beta=inf.*\(-inf, inf\)"),
        ({"beta": "0.1"}, "beta='0.1'"),
        ({"order": 0}, "order=0 .* at least 1"),
        ({"variant": "normalised"}, "Did you mean 'normalized'.*loss-weighted"),
        ({"variant": None}, "Unknown variant 'None'"),
    ],
)
def test_hyperparameters_are_checked(parameters, message):
    with pytest.raises(ValueError, match=message):
        SoftAdapt(**parameters)


def test_name():
    made = weightings.get("SoftAdapt", variant="normalized")
    assert type(made) is SoftAdapt
    assert {"beta": 0.1, "order": 1, "variant": "normalized"}.items() <= (
        made.hyperparameters.items()
    )
