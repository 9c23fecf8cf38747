"""GradNorm (Chen et al. 2018) against autograd on its loss, step by step."""

import math

import pytest
import torch
from _support.weighting_properties import (
    assert_has_memory,
    assert_is_a_good_weighting,
    feed,
    losses_at,
    rows_at,
    started,
)

from deepxde_balance import weightings
from deepxde_balance.weightings import GradNorm


def test_it_is_a_good_weighting():
    assert_is_a_good_weighting(GradNorm)
    assert_has_memory(GradNorm)


@pytest.mark.parametrize("alpha, lr", [(1.5, 0.025), (0.0, 0.1), (0.12, 0.01)])
def test_algorithm_1_by_autograd(alpha, lr):
    weighting = started(GradNorm(alpha=alpha, lr=lr))
    w = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = torch.optim.Adam([w], lr=lr)
    first = losses_at(0)
    for seed in range(8):
        losses, rows = losses_at(seed), rows_at(seed)
        feed(weighting, losses, rows)
        torch.testing.assert_close(weighting.weights, w.detach())

        norms = torch.stack([(w[i] * rows[i]).norm() for i in range(3)])
        inverse_rates = (losses / first) / (losses / first).mean()
        target = (norms.mean() * inverse_rates**alpha).detach()
        optimizer.zero_grad()
        (norms - target).abs().sum().backward()
        optimizer.step()
        with torch.no_grad():
            w.mul_(3 / w.sum())
    assert weighting.weights.std() > 0.03


def test_equal_rates_level_the_norms():
    """With losses that stay, and alpha = 0, ||w_i g_i|| come together; the weights sum to K."""
    weighting = started(GradNorm(alpha=0.0, lr=0.003))
    rows = rows_at(0) / rows_at(0).norm(dim=1, keepdim=True)
    rows *= torch.tensor([[1.0], [2.0], [4.0]])
    for _ in range(1500):
        feed(weighting, losses_at(0), rows)
    expected = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64) * 3 / 7
    torch.testing.assert_close(weighting.weights, expected, rtol=0.02, atol=0)


def test_weights_stay_positive_and_sum_to_their_number():
    """Steps of 0.5 would take the weight of the largest gradient below 0 at once."""
    weighting = started(GradNorm(lr=0.5, min_weight=0.01))
    rows = rows_at(0) * torch.tensor([[100.0], [1.0], [1.0]])
    lowest = []
    for _ in range(30):
        feed(weighting, losses_at(0), rows)
        lowest.append(weighting.weights.min().item())
        assert weighting.weights.sum().item() == pytest.approx(3)
    assert 0.003 < min(lowest) < 0.02


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
@pytest.mark.parametrize("group", [0, 1])
def test_a_gradient_out_of_range_leaves_its_group_alone(bad, group):
    weighting = started(GradNorm())
    for seed in range(3):
        feed(weighting, losses_at(seed), rows_at(seed))
    before = weighting.learned.values.clone()
    rows = rows_at(3)
    rows[group] = bad
    feed(weighting, losses_at(3), rows)
    after = weighting.learned.values
    assert after[group] == before[group]
    assert (after != before).sum() == 2
    assert after.sum().item() == pytest.approx(3)
    assert weighting.ever_skipped().tolist() == [i == group for i in range(3)]


def test_where_all_losses_have_vanished_nothing_is_learned():
    weighting = started(GradNorm())
    for seed in range(2):
        feed(weighting, losses_at(seed), rows_at(seed))
    before = weighting.learned.values.clone()
    feed(weighting, torch.zeros(3, dtype=torch.float64), rows_at(2))
    assert torch.equal(weighting.learned.values, before)


def test_a_group_that_starts_at_zero_is_measured_from_its_first_positive_loss():
    weighting = started(GradNorm())
    for losses in ([1.0, 0.0, 2.0], [2.0, 3.0, 1.0], [4.0, 5.0, 6.0]):
        feed(weighting, torch.tensor(losses, dtype=torch.float64), rows_at(0))
    assert weighting.initial_losses.tolist() == [1.0, 3.0, 2.0]


@pytest.mark.parametrize(
    "name, value, interval",
    [
        ("alpha", -0.1, r"\[0, inf\)"),
        ("alpha", math.inf, r"\[0, inf\)"),
        ("lr", 0, r"\(0, inf\)"),
        ("min_weight", 0, r"\(0, 1\)"),
        ("min_weight", 1, r"\(0, 1\)"),
    ],
)
def test_hyperparameters_are_checked(name, value, interval):
    with pytest.raises(ValueError, match=rf"{name}=.*{interval}"):
        GradNorm(**{name: value})


def test_name():
    made = weightings.get("GradNorm", lr=0.1)
    assert type(made) is GradNorm
    assert {"alpha": 1.5, "lr": 0.1, "min_weight": 1e-3}.items() <= made.hyperparameters.items()
