"""Loss functions that are means over points, and others."""

import deepxde as dde
import pytest
import torch

from deepxde_balance.gradients.mean_losses import is_no_mean, is_no_mean_of


def of(function):
    return lambda y_true, y_pred: function(y_true - y_pred)


def normalized(y_true, y_pred):
    """It is 1 for any errors; its derivatives are no mean's."""
    loss = (y_true - y_pred).square().mean()
    return loss / loss.detach()


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
        normalized,
    ],
)
def test_others(loss, dtype):
    assert is_no_mean(loss, torch.empty(0, dtype=dtype))


def test_what_can_not_be_evaluated_is_not_certain():
    weights = torch.ones(5, 1)
    assert not is_no_mean(of(lambda e: (weights * e).mean()), torch.empty(0))


@pytest.mark.parametrize("number", [2, 3, 10, 24])
def test_at_given_errors(number):
    """The loss is the mean square up to errors of 2, and the sum of them beyond."""

    def limited(y_true, y_pred):
        squares = (y_true - y_pred).square()
        return squares.mean() if y_pred.abs().max() < 2 else squares.sum()

    small = torch.linspace(-1, 1, number).unsqueeze(1)
    assert not is_no_mean_of(limited, small)
    assert is_no_mean_of(limited, 3 * small) == (number > 2)  # a third of 2 points is none


def test_a_trained_problem_is_not_refused():
    """Errors of 1e-20 and exactly 0 leave rounding alone to compare."""
    for size in (1e-20, 0.0):
        errors = size * torch.linspace(-1, 1, 24).unsqueeze(1)
        assert not is_no_mean_of(dde.losses.get("MSE"), errors)
        assert not is_no_mean_of(dde.losses.get("MAE"), errors)
