"""Each statistic on hand-worked numbers, and against scipy.stats."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from deepxde_balance.weightings import statistics
from deepxde_balance.weightings.group_gradients import GroupGradients

REFERENCE = torch.tensor([3.0, -6.0, 1.0, 2.0])
FIRST = torch.tensor([1.0, -1.0, 2.0, 0.0])
SECOND = torch.tensor([0.0, 4.0, 0.0, 0.0])
ROWS = GroupGradients.from_rows([REFERENCE, FIRST, SECOND])
ONES = torch.ones(2)


def test_mean_by_hand():
    # max|g_r| = 6; mean|g_1| = 4/4, mean|g_2| = 4/4; the current weights stand in the denominator.
    ratios = statistics.get("mean")(ROWS, torch.tensor([2.0, 0.5]))
    torch.testing.assert_close(ratios, torch.tensor([3.0, 12.0]))


def test_std_by_hand():
    # g_r: mean 0, squares 9+36+1+4=50; g_1: mean 1/2, deviations .5,-1.5,1.5,-.5 -> 5;
    # g_2: mean 1, deviations -1,3,-1,-1 -> 12. All over n - 1 = 3.
    ratios = statistics.get("std")(ROWS, ONES)
    torch.testing.assert_close(ratios, torch.tensor([math.sqrt(10.0), math.sqrt(50 / 12)]))


@pytest.mark.parametrize(
    "p, expected",
    [(1, [12 / 4, 12 / 4]), (2, [math.sqrt(50 / 6), math.sqrt(50) / 4]), (math.inf, [3.0, 1.5])],
)
def test_norm_by_hand(p, expected):
    torch.testing.assert_close(statistics.Norm(p)(ROWS, ONES), torch.tensor(expected))


def test_kurtosis_by_hand():
    # With the sample s: k = mean(d^4) / s^4. g_r: d^4 = 81+1296+1+16 = 1394, s^2 = 50/3;
    # g_2: d^4 = 1+81+1+1 = 84, s^2 = 4.
    k_r = 1394 / 4 / (50 / 3) ** 2
    k_2 = 84 / 4 / 16
    expected = (math.sqrt(50 / 3) / k_r) / (2 / k_2)
    ratios = statistics.get("kurtosis")(ROWS, ONES)
    torch.testing.assert_close(ratios[1], torch.tensor(expected))


@pytest.mark.parametrize("seed", range(5))
def test_moments_against_scipy(seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_t(3, size=(4, 101)) * 10.0 ** rng.integers(-4, 4, size=(4, 1))
    gradients = GroupGradients(torch.as_tensor(values))
    n = values.shape[1]
    np.testing.assert_allclose(gradients.std(), scipy.stats.tstd(values, axis=1), rtol=1e-12)
    # scipy's kurtosis divides by the population variance; ours by the sample variance.
    pearson = scipy.stats.kurtosis(values, axis=1, fisher=False) * ((n - 1) / n) ** 2
    np.testing.assert_allclose(gradients.kurtosis(), pearson, rtol=1e-12)


@pytest.mark.parametrize("name", ["mean", "std", "kurtosis", "norm"])
def test_unused_parameters_are_left_out(name):
    """Zeros in place of unused parameters change nothing, against rows without them."""
    g = torch.randn(3, 12, dtype=torch.float64)
    used = torch.ones(3, 12, dtype=torch.bool)
    used[0, :5] = False
    used[2, 7:] = False
    statistic, weights = statistics.get(name), torch.tensor([0.7, 3.0], dtype=torch.float64)
    ratios = statistic(GroupGradients(g * used, used), weights)
    for i in (1, 2):
        short_r, short_i = g[0, used[0]], g[i, used[i]]
        expected = {
            "mean": short_r.abs().max() / (weights[i - 1] * short_i).abs().mean(),
            "std": short_r.std() / short_i.std(),
            "norm": short_r.norm() / short_i.norm(),
            "kurtosis": (short_r.std() / _kurtosis(short_r)) / (short_i.std() / _kurtosis(short_i)),
        }[name]
        torch.testing.assert_close(ratios[i - 1], expected)


def _kurtosis(g):
    return (((g - g.mean()) / g.std()) ** 4).mean()


@pytest.mark.parametrize("name", ["mean", "std", "kurtosis", "norm"])
def test_scaling_a_condition_divides_its_ratio(name):
    g = torch.randn(3, 50, dtype=torch.float64)
    scaled = g.clone()
    scaled[1] *= 100
    ones = torch.ones(2, dtype=torch.float64)
    before = statistics.get(name)(GroupGradients(g), ones)
    after = statistics.get(name)(GroupGradients(scaled), ones)
    torch.testing.assert_close(after, before / torch.tensor([100.0, 1.0]))


@pytest.mark.parametrize("p", [0.5, -1, "2", True, math.nan])
def test_norm_order_is_checked(p):
    with pytest.raises(ValueError, match="order of a norm"):
        statistics.Norm(p)
