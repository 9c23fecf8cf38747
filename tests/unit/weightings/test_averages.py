"""Each average on hand-worked numbers; properties by hypothesis."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gmean

import deepxde_balance as ddb
from deepxde_balance import EMA, BiasCorrectedEMA, GeometricMean, RunningMean
from deepxde_balance.weightings import averages

NAN = float("nan")
OUT = 0.0  # leaves a group out of an update


def run(average, rows, dtype=torch.float64):
    """The weights after each update, from weight 1."""
    weights = torch.ones(len(rows[0]), dtype=dtype)
    average.reset(len(weights), weights)
    applied = []
    for row in rows:
        weights = average(weights, torch.tensor(row, dtype=dtype))
        applied.append(weights)
    return torch.stack(applied)


def test_ema_by_hand():
    # 0.75 * 1 + 0.25 * 5 = 2; 0.75 * 2 + 0.25 * 10 = 4.
    applied = run(EMA(0.25), [[5.0], [10.0]])
    torch.testing.assert_close(applied, torch.tensor([[2.0], [4.0]], dtype=torch.float64))


def test_bias_corrected_ema_by_hand():
    # m = 0.1 * 4 = 0.4, / 0.1 = 4; m = 0.9 * 0.4 + 0.1 * 10 = 1.36, / 0.19.
    applied = run(BiasCorrectedEMA(0.9), [[4.0], [10.0]])
    torch.testing.assert_close(applied, torch.tensor([[4.0], [1.36 / 0.19]], dtype=torch.float64))


def test_running_mean_by_hand():
    applied = run(RunningMean(), [[4.0, 1.0], [10.0, 2.0], [1.0, 6.0]])
    expected = torch.tensor([[4.0, 1.0], [7.0, 1.5], [5.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(applied, expected)


@pytest.mark.parametrize("make", [lambda: EMA(0.3), BiasCorrectedEMA, RunningMean, GeometricMean])
@pytest.mark.parametrize("out", [OUT, NAN, float("inf")])
def test_a_left_out_group_stays_and_is_not_counted(make, out):
    applied = run(make(), [[out, 4.0], [6.0, out], [8.0, 5.0]])
    alone_first = run(make(), [[6.0], [8.0]])
    alone_second = run(make(), [[4.0], [5.0]])
    assert applied[0, 0] == 1.0
    assert applied[1, 1] == applied[0, 1]
    torch.testing.assert_close(applied[1:, 0], alone_first[:, 0])
    torch.testing.assert_close(applied[[0, 2], 1], alone_second[:, 0])


def test_geometric_mean_by_hand():
    # 4; sqrt(4 * 16) = 8; cbrt(4 * 16 * 27) = 12. A huge first one: 1e6; sqrt(1e6 * 1) = 1e3.
    applied = run(GeometricMean(), [[4.0, 1e6], [16.0, 1.0], [27.0, 1.0]])
    expected = torch.tensor([[4.0, 1e6], [8.0, 1e3], [12.0, 1e2]], dtype=torch.float64)
    torch.testing.assert_close(applied, expected)


positive = st.floats(1e-6, 1e9)


@given(st.lists(positive, min_size=1, max_size=50))
def test_running_mean_is_numpys_mean(values):
    applied = run(RunningMean(), [[v] for v in values])
    means = np.cumsum(values) / np.arange(1, len(values) + 1)
    np.testing.assert_allclose(applied[:, 0], means, rtol=1e-12)
    np.testing.assert_allclose(applied[-1, 0], np.mean(values), rtol=1e-12)


@given(st.lists(positive, min_size=1, max_size=50))
def test_geometric_mean_is_scipys_and_turns_with_the_ratio(values):
    applied = run(GeometricMean(), [[v, 1 / v] for v in values])
    np.testing.assert_allclose(applied[-1, 0], gmean(values), rtol=1e-12)
    np.testing.assert_allclose(applied[:, 0] * applied[:, 1], 1.0, rtol=1e-12)


def test_geometric_mean_in_float32():
    values = [1e30, *[2.0] * 3000]
    applied = run(GeometricMean(), [[v] for v in values], dtype=torch.float32)
    np.testing.assert_allclose(applied[-1, 0], gmean(values), rtol=1e-4)


@given(positive, st.floats(0, 0.9999, allow_subnormal=False), st.integers(1, 60))
def test_bias_correction_is_exact_for_a_constant(value, beta, updates):
    applied = run(BiasCorrectedEMA(beta), [[value]] * updates)
    np.testing.assert_allclose(applied[:, 0], value, rtol=1e-10)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.99999])
def test_bias_correction_in_float32(beta):
    applied = run(BiasCorrectedEMA(beta), [[3.0]] * 5, dtype=torch.float32)
    np.testing.assert_allclose(applied[:, 0], 3.0, rtol=1e-5)


@given(st.lists(positive, min_size=1, max_size=30), st.floats(0.01, 1))
def test_ema_stays_within_what_it_has_seen(values, alpha):
    applied = run(EMA(alpha), [[v] for v in values])
    assert applied.min() >= min([1.0, *values]) * (1 - 1e-12)
    assert applied.max() <= max([1.0, *values]) * (1 + 1e-12)


@pytest.mark.parametrize("alpha", [0, -0.1, 1.5, "0.1", NAN, True])
def test_alpha_is_checked(alpha):
    with pytest.raises(ValueError, match=r"alpha=.*must be a number in"):
        EMA(alpha)


@pytest.mark.parametrize("beta", [1, -0.1, 2, None, NAN])
def test_beta_is_checked(beta):
    with pytest.raises(ValueError, match=r"beta=.*must be a number in"):
        BiasCorrectedEMA(beta)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ema", EMA),
        ("bias-corrected-ema", BiasCorrectedEMA),
        ("Running-Mean", RunningMean),
        ("geometric-mean", GeometricMean),
    ],
)
def test_an_average_by_name(name, kind):
    assert type(averages.get(name)) is kind


@pytest.mark.parametrize(
    ("word", "kind", "parameter", "value"),
    [
        ("ema:alpha=0.5", EMA, "alpha", 0.5),
        ("EMA: alpha=.2", EMA, "alpha", 0.2),
        ("bias_corrected_ema:beta=0.9", BiasCorrectedEMA, "beta", 0.9),
    ],
)
def test_an_average_with_its_parameter(word, kind, parameter, value):
    average = averages.get(word)
    assert type(average) is kind
    assert getattr(average, parameter) == value
    assert ddb.weightings.get(f"db-mean:update_every=7,average={word}").average.extra_repr() == (
        f"{parameter}={value}"
    )


@pytest.mark.parametrize(
    ("word", "error", "text"),
    [
        ("emu:alpha=0.5", ValueError, "Unknown average 'emu'. Did you mean 'ema'?"),
        ("ema:alpha=2", ValueError, "alpha=2 is not allowed: it must be a number in (0, 1]."),
        ("ema:0.5", ValueError, "'ema:0.5' is not allowed: write"),
        ("ema:beta=0.5", TypeError, "The average 'ema' has no parameter 'beta': it takes alpha."),
        ("running-mean:n=3", TypeError, "'running-mean' has no parameter 'n': it takes none."),
    ],
)
def test_a_word_of_an_average_that_is_not_allowed(word, error, text):
    with pytest.raises(error, match=re.escape(text)):
        ddb.weightings.get(f"db-mean:average={word}")


def test_an_average_itself_and_what_is_none():
    average = EMA(0.5)
    assert averages.get(average) is average
    with pytest.raises(ValueError, match=r"average 'runing-mean'.*Did you mean 'running-mean'"):
        averages.get("runing-mean")
    with pytest.raises(TypeError, match=r"average=0\.5 is not allowed"):
        averages.get(0.5)  # type: ignore[arg-type]  # refused
