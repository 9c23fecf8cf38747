"""One self-adaptive weight per group, against Adam written out."""

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
from deepxde_balance.weightings import SelfAdaptiveTerms


def test_it_is_a_good_weighting():
    assert_is_a_good_weighting(SelfAdaptiveTerms)
    assert_has_memory(SelfAdaptiveTerms)


def adam_ascent(gradients, lr):
    """The weight of one group before each step (Kingma & Ba 2015, algorithm 1, upwards)."""
    weight, first, second, weights = 1.0, 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        weights.append(weight)
        first = 0.9 * first + 0.1 * g
        second = 0.999 * second + 0.001 * g * g
        step = (first / (1 - 0.9**t)) / (math.sqrt(second / (1 - 0.999**t)) + 1e-8)
        weight += lr * step
    return weights


@pytest.mark.parametrize("lr", [0.005, 0.3])
def test_ascent_by_adam(lr):
    losses = [losses_at(seed).tolist() for seed in range(8)]
    weighting = started(SelfAdaptiveTerms(lr=lr))
    expected = [adam_ascent([row[i] for row in losses], lr) for i in range(3)]
    for t, row in enumerate(losses):
        weighting.update(torch.tensor(row, dtype=torch.float64))
        torch.testing.assert_close(
            weighting.weights.tolist(), [weights[t] for weights in expected], rtol=1e-9, atol=0
        )


def test_weights_applied_once_stay_as_they_were():
    """An iteration's weights are not those that its own ascent leads to."""
    weighting = started(SelfAdaptiveTerms())
    weighting.update(losses_at(0))
    assert weighting.weights.tolist() == [1.0, 1.0, 1.0]
    assert (weighting.learned.values > 1).all()


def test_a_loss_of_zero_does_not_move_its_weight():
    weighting = started(SelfAdaptiveTerms())
    for _ in range(4):
        weighting.update(torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64))
    assert weighting.weights[1] == 1.0
    assert (weighting.weights[[0, 2]] > 1.0).all()


@pytest.mark.parametrize("lr", [0, -1, math.inf, math.nan, "0.1", None])
def test_the_learning_rate_is_checked(lr):
    with pytest.raises(ValueError, match=r"lr=.*must be a number in \(0, inf\)"):
        SelfAdaptiveTerms(lr=lr)


def test_name():
    made = weightings.get("sa_term", lr=0.1)
    assert type(made) is SelfAdaptiveTerms
    assert made.hyperparameters["lr"] == 0.1
