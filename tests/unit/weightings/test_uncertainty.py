"""Uncertainty weighting against autograd on its objective, and with every kind of optimizer."""

import copy
import math

import deepxde as dde
import pytest
import torch
from _support.weighting_properties import (
    assert_has_memory,
    assert_is_a_good_weighting,
    losses_at,
    network_optimizer,
    started,
)

from deepxde_balance import weightings
from deepxde_balance.weightings import UncertaintyWeighting


def attached(optimizer, num_groups=3):
    weighting = UncertaintyWeighting()
    weighting.reset(num_groups, torch.zeros(1, dtype=torch.float64))
    weighting.attach(optimizer)
    return weighting


def test_it_is_a_good_weighting():
    assert_is_a_good_weighting(UncertaintyWeighting)
    assert_has_memory(UncertaintyWeighting)


def test_by_hand():
    # s = 0, so lambda = 1/2 at first; ds = -0.1 (1/2 - 3/2) = 0.1 for L = 3, and -0.05 for L = 0.
    weighting = attached(network_optimizer(torch.optim.SGD, lr=0.1), num_groups=2)
    for expected in ([0.5, 0.5], [math.exp(-0.1) / 2, math.exp(0.05) / 2]):
        weighting.update(torch.tensor([3.0, 0.0], dtype=torch.float64))
        torch.testing.assert_close(weighting.weights.tolist(), expected)


@pytest.mark.parametrize(
    "kind, options",
    [
        (torch.optim.Adam, {"betas": (0.8, 0.99)}),
        (torch.optim.Adam, {"weight_decay": 0.3, "amsgrad": True}),
        (torch.optim.AdamW, {"weight_decay": 0.3}),
        (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.3}),
        (torch.optim.RMSprop, {"alpha": 0.9}),
        (torch.optim.NAdam, {}),
        (torch.optim.Adagrad, {}),
    ],
)
def test_against_autograd_with_a_decaying_rate(kind, options):
    optimizer = network_optimizer(kind, lr=0.2, **options)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    weighting = attached(optimizer)

    s = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    no_decay = {**options, "weight_decay": 0.0}
    s_optimizer = kind([s], lr=0.2, **no_decay)
    s_scheduler = torch.optim.lr_scheduler.StepLR(s_optimizer, step_size=2, gamma=0.5)
    for seed in range(7):
        losses = losses_at(seed)
        weighting.update(losses)
        torch.testing.assert_close(weighting.weights, (torch.exp(-s) / 2).detach())

        s_optimizer.zero_grad()
        (torch.exp(-s) / 2 * losses + s / 2).sum().backward()
        s_optimizer.step()
        optimizer.step()
        for one in (scheduler, s_scheduler):
            one.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2 / 8)


def test_constant_losses_lead_to_their_inverse():
    """The objective is least at s = log L: lambda = 1 / (2 L)."""
    losses = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64)
    weighting = attached(network_optimizer(torch.optim.Adam, lr=0.05))
    for _ in range(1500):
        weighting.update(losses)
    torch.testing.assert_close(weighting.weights, 1 / (2 * losses), rtol=1e-3, atol=0)


def _nncg():
    return dde.optimizers.pytorch.nncg.NNCG([torch.nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize(
    "make, name",
    [(lambda: network_optimizer(torch.optim.LBFGS), "LBFGS"), (_nncg, "NNCG")],
)
def test_optimizers_that_evaluate_the_loss_themselves_are_refused(make, name):
    with pytest.raises(ValueError, match=rf'{name} can\'t take them.*loss_weights="keep"'):
        UncertaintyWeighting().attach(make())


class MatricesOnly(torch.optim.SGD):
    def __init__(self, params, lr):
        params = list(params)
        if any(p.dim() != 2 for p in params):
            raise ValueError("only matrices")
        super().__init__(params, lr=lr)


def test_an_optimizer_that_takes_no_vector_is_refused():
    matrices = MatricesOnly([torch.nn.Parameter(torch.zeros(2, 2))], lr=0.1)
    with pytest.raises(ValueError, match="MatricesOnly: only matrices"):
        UncertaintyWeighting().attach(matrices)


def test_an_update_before_attach_is_an_error():
    weighting = UncertaintyWeighting()
    weighting.reset(3, torch.zeros(1, dtype=torch.float64))
    with pytest.raises(RuntimeError, match=r"call attach\(optimizer\)"):
        weighting.update(losses_at(0))


def test_a_new_optimizer_goes_on_from_the_learned_values():
    weighting = started(UncertaintyWeighting())
    for seed in range(5):
        weighting.update(losses_at(seed))
    learned = weighting.log_variances.values.clone()
    weighting.attach(network_optimizer(torch.optim.SGD, lr=0.1))
    weighting.update(losses_at(5))
    torch.testing.assert_close(weighting.weights, torch.exp(-learned) / 2)


def test_a_copy_learns_by_itself():
    weighting = started(UncertaintyWeighting())
    weighting.update(losses_at(0))
    twin = copy.deepcopy(weighting)
    for seed in (1, 2):
        twin.update(losses_at(seed))
    values = weighting.log_variances.values.clone()
    for seed in (1, 2):
        weighting.update(losses_at(seed))
    assert torch.equal(twin.weights, weighting.weights)
    assert not torch.equal(values, weighting.log_variances.values)


def test_name_and_bad_values():
    assert type(weightings.get("UW", update_every=3)) is UncertaintyWeighting
    with pytest.raises(ValueError, match="update_every=0"):
        UncertaintyWeighting(update_every=0)
