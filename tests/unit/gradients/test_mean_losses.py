"""Loss functions that are means over points, and others."""

import deepxde as dde
import pytest
import torch

from deepxde_balance.gradients.mean_losses import is_no_mean


def of(function):
    return lambda y_true, y_pred: function(y_true - y_pred)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "loss",
    [
        dde.losses.get("MSE"),
        dde.losses.get("MAE"),
        of(lambda e: e.abs().pow(1.5).mean()),
        of(lambda e: 1e-6 * e.cosh().log().mean()),
        of(lambda e: e.relu().mean()),
        torch.nn.functional.huber_loss,
    ],
)
def test_means(loss, dtype):
    assert not is_no_mean(loss, torch.empty(0, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "loss",
    [
        of(lambda e: e.square().sum()),
        of(lambda e: e.square().mean().sqrt()),
        of(lambda e: e.abs().max()),
        of(torch.linalg.norm),
        of(lambda e: e.square().median()),
        of(lambda e: e.square().mean().log()),
        of(lambda e: e.square().sum() / (len(e) - 1)),
        of(lambda e: e.var()),
    ],
)
def test_others(loss, dtype):
    assert is_no_mean(loss, torch.empty(0, dtype=dtype))


def test_what_can_not_be_evaluated_is_not_certain():
    weights = torch.ones(5, 1)
    assert not is_no_mean(of(lambda e: (weights * e).mean()), torch.empty(0))
