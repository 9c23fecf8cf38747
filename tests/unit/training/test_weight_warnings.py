"""Conditions whose weight stays below 1: found in a history, and warned about once."""

import deepxde as dde
import numpy as np
import pytest
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance.training.weight_warnings import let_go

STEPS = [0, 250, 500, 750]


def history(*weights):
    """A record for each weight of the one condition."""
    return [{"pde": 1.0, "bc": weight} for weight in weights]


@pytest.mark.parametrize(
    "steps, weights, loss, found",
    [
        (STEPS, (1, 0.5, 0.2, 0.1), 0.4, ["bc"]),
        (STEPS, (1, 0.5, 0.2, 0.1), 0.04, []),  # learned: a twelfth of the first loss
        (STEPS, (1, 0.5, 0.2, 0.1), float("nan"), []),
        (STEPS, (1, 0.5, 1.0, 0.1), 0.4, []),  # not all the time
        (STEPS, (1, 0.5, 2.0, 0.1), 0.4, []),
        (STEPS[:3], (1, 0.5, 0.2), 0.4, []),  # two records
        ([0, 400, 1000], (1, 0.5, 0.2), 0.4, []),  # two records over 600 iterations
        ([0, 100, 200, 300, 400], (1, 0.5, 0.2, 0.1, 0.1), 0.4, []),  # only 300 iterations
        ([0, 1000, 2000, 3000], (9, 0.5, 0.2, 0.1), 0.4, ["bc"]),
        ([0, 100, 200, 300, 400, 500, 600], (1, *[0.5] * 6), 0.4, ["bc"]),
    ],
)
def test_weights_below_1_over_records_and_iterations(steps, weights, loss, found):
    assert let_go(steps, history(*weights), {"bc": 0.5}, {"bc": loss}) == found


def test_records_of_an_earlier_phase_have_other_groups():
    weights = [{"pde": 1.0, "all": 0.1}, *history(0.5, 0.2, 0.1)[1:]]
    assert let_go([0, 500, 1000], weights, {"bc": 1.0}, {"bc": 1.0}) == []


def heat():
    """Data of a heat equation, whose residual is small under an untrained network."""

    def pde(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) - 0.4 * dde.grad.hessian(u, x, i=0, j=0)

    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on)
    ic = dde.icbc.IC(geom, lambda x: np.sin(np.pi * x[:, :1]), lambda _, on: on)
    return dde.data.TimePDE(geom, pde, [bc, ic], num_domain=50, num_boundary=20, num_initial=20)


def trained(min_weight, callback=False):
    """A model after 700 iterations of dn."""
    weighting = ddb.DN(update_every=1, min_weight=min_weight)
    model = (dde if callback else ddb).Model(heat(), scripts.network())
    model.compile("adam", lr=1e-3, **({} if callback else {"loss_weights": weighting}), verbose=0)
    callbacks = [ddb.LossWeighting(weighting)] if callback else None
    model.train(iterations=700, display_every=100, callbacks=callbacks, verbose=0)
    return model


@pytest.mark.parametrize("callback", [False, True])
def test_a_condition_let_go_is_warned_about_once(callback):
    with pytest.warns(UserWarning) as caught:
        model = trained(None, callback)
    (message,) = (str(w.message) for w in caught)
    assert message.startswith("The weight of 'ic1' stays below 1")
    assert "min_weight=1" in message
    last = model.losshistory.loss_weights[-1]
    assert last["ic1"] < 1


def test_with_min_weight_nothing_is_let_go():
    model = trained(1.0)  # without a warning
    assert min(model.weights.values()) >= 1
