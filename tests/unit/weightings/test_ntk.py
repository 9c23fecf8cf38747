"""Kernel weights by hand, against a kernel of a small network, and with traces out of range."""

import math

import pytest
import torch
from _support.weighting_properties import assert_is_a_good_weighting, started

from deepxde_balance import weightings
from deepxde_balance.weightings import NTK


@pytest.mark.parametrize("name", ["ntk", "ntk-exact"])
def test_it_is_a_good_weighting(name):
    assert_is_a_good_weighting(lambda: weightings.get(name), sees_losses=False)


def traces(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_by_hand():
    weighting = started(NTK())
    weighting.update(traces(5.0, 4.0, 1.0))
    assert weighting.weights.tolist() == [2.0, 2.5, 10.0]
    weighting.update(traces(1.0, 1.0, 2.0))
    assert weighting.weights.tolist() == [4.0, 4.0, 2.0]


def test_all_groups_then_converge_at_one_mean_rate():
    """With the eigenvalues of each weighted block summed: lambda_i tr K_ii is tr K for all i."""
    torch.manual_seed(0)
    blocks = [torch.randn(n, 30, dtype=torch.float64) * 10**n for n in (4, 2, 1)]
    kernels = [block @ block.T for block in blocks]
    weighting = started(NTK(exact=True))
    weighting.update(torch.stack([kernel.trace() for kernel in kernels]))
    whole = torch.cat(blocks) @ torch.cat(blocks).T
    for weight, kernel in zip(weighting.weights, kernels, strict=True):
        rates = torch.linalg.eigvalsh(weight * kernel)
        torch.testing.assert_close(rates.sum(), torch.linalg.eigvalsh(whole).sum())


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_a_trace_out_of_range_leaves_its_group_alone(bad):
    weighting = started(NTK())
    weighting.update(traces(5.0, 4.0, 1.0))
    weighting.update(traces(1.0, bad, 3.0))
    torch.testing.assert_close(weighting.weights, traces(4.0, 2.5, 4 / 3))
    assert weighting.ever_skipped().tolist() == [False, True, False]
    weighting.update(traces(5.0, 4.0, 1.0))
    assert weighting.weights.tolist() == [2.0, 2.5, 10.0]
    assert weighting.ever_skipped().tolist() == [False, True, False]


def test_a_weight_beyond_all_numbers_leaves_its_group_alone():
    """A trace so small that the quotient overflows, although the trace is no 0."""
    weighting = started(NTK())
    weighting.update(traces(5.0, 4.0, 1.0))
    weighting.update(traces(1e200, 1e-200, 1e200))
    torch.testing.assert_close(weighting.weights, traces(2.0, 2.5, 2.0))
    assert weighting.ever_skipped().tolist() == [False, True, False]


def test_no_trace_at_all():
    weighting = started(NTK())
    weighting.update(traces(0.0, 0.0, 0.0))
    assert weighting.weights.tolist() == [1.0, 1.0, 1.0]


def test_bad_values():
    with pytest.raises(TypeError, match="exact='yes'"):
        NTK(exact="yes")  # type: ignore[arg-type]  # refused
    with pytest.raises(ValueError, match="update_every=-1"):
        NTK(update_every=-1)


def test_names():
    assert [weightings.get(n).exact for n in ("ntk", "NTK_exact")] == [False, True]
    assert weightings.get("ntk").update_every == 100
