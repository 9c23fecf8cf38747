"""DeepXDE's loop of L-BFGS."""

import warnings

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.resumed import compiled

import deepxde_balance as ddb
from deepxde_balance.training import lbfgs_step

pytestmark = pytest.mark.usefixtures("large_problem")


@pytest.fixture
def lbfgs_of_four_steps(optimizer_options):
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=5)


def test_lbfgs_trained_twice_counts_each_iteration_once(lbfgs_of_four_steps):
    model = compiled("equal")
    model.compile("L-BFGS", loss_weights="equal", verbose=0)
    model.train(verbose=0)
    model.train(verbose=0)
    assert model.train_state.step == 40


@pytest.mark.parametrize("iter_per_step", [1, 5])
def test_it_ends_where_deepxde_ends(iter_per_step, optimizer_options):
    """DeepXDE takes a step of one iteration to be the last, and does not count it."""
    optimizer_options.lbfgs.update(maxiter=10, iter_per_step=iter_per_step)
    models = []
    for model_class in (dde.Model, ddb.Model):
        model = model_class(scripts.klein_gordon(), scripts.network())
        model.compile("L-BFGS", verbose=0)
        model.train(verbose=0)
        models.append(model)
    stock, ours = models
    assert ours.train_state.step == stock.train_state.step == (10 if iter_per_step == 5 else 0)
    assert ours.losshistory.steps == stock.losshistory.steps
    torch.testing.assert_close(scripts.parameters_of(ours), scripts.parameters_of(stock))


def trained_by_lbfgs(residual):
    geometry = dde.geometry.Interval(0, 1)
    data = dde.data.PDE(geometry, lambda x, y: residual(y), [], num_domain=50)
    model = ddb.Model(data, dde.nn.FNN([1, 4, 1], "tanh", "Glorot normal"))
    model.compile("L-BFGS", verbose=0)
    model.train(verbose=0)
    return model


def barely_seen(y):
    """A residual whose loss is 1e8: in single precision it can't show changes below 4."""
    return 1e4 + 1e-5 * torch.sin(1e3 * y)


def test_an_end_at_the_beginning_is_told():
    message = r'L-BFGS ended after \d iterations, of 15000: .* a gradient is .*"keep".*float64'
    with pytest.warns(UserWarning, match=message):
        trained_by_lbfgs(barely_seen)


def test_a_minimum_is_an_end_like_any_other(float64):
    """A gradient of at most gtol, 1e-8."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = trained_by_lbfgs(lambda y: y)
    assert 0 < model.train_state.step < 100


@pytest.mark.parametrize("options", [{"ftol": 1.0}])
def test_an_end_that_was_asked_for_is_not_told(options, optimizer_options):
    """By ftol, which is 0 by default."""
    optimizer_options.lbfgs.update(options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained_by_lbfgs(barely_seen)


#: All losses in units in which PyTorch's L-BFGS remembers no step.
TINY = 1e-10


def after_lbfgs(weights, keep):
    """The sum of the unweighted losses."""
    dde.config.set_random_seed(0)
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("L-BFGS", loss_weights=weights, verbose=0)
    if keep:
        model.compile("L-BFGS", loss_weights="keep", verbose=0)
    model.train(verbose=0)
    losses = model.losshistory.loss_train[-1]
    return sum(losses) if keep else sum(losses / np.array(weights))


def test_kept_weights_may_be_small(optimizer_options):
    """A common factor of the weights changes nothing, but to rounding."""
    optimizer_options.lbfgs.update(maxiter=100, iter_per_step=50, gtol=1e-8 * TINY)
    as_usual = after_lbfgs([1.0] * 4, keep=False)
    assert after_lbfgs([TINY] * 4, keep=False) > 10 * as_usual
    assert after_lbfgs([TINY] * 4, keep=True) < 2 * as_usual


def test_under_a_strategy_on_a_stock_model(optimizer_options):
    """The same L-BFGS under `LossWeighting`, in DeepXDE's own loop."""
    optimizer_options.lbfgs.update(maxiter=50, iter_per_step=50, gtol=1e-8 * TINY)
    data = scripts.klein_gordon()
    model = dde.Model(data, scripts.network())
    model.compile("L-BFGS", verbose=0)
    weighting = ddb.LossWeighting(ddb.DN(scale=[TINY] * 4))
    model.train(verbose=0, callbacks=[weighting])
    first, *_, last = model.losshistory.loss_train
    assert sum(last) < 0.1 * sum(first)


@pytest.mark.filterwarnings("ignore:Compiled again")
@pytest.mark.parametrize("weights", [None, "equal", [1.0] * 4, "dn"])
@pytest.mark.parametrize("num_domain", [40, 400])
def test_all_kept_weights_have_it(weights, num_domain, lbfgs_of_four_steps, monkeypatch):
    steps = []

    def step(optimizer, closure):
        steps.append(optimizer)
        optimizer.step(closure)

    monkeypatch.setattr(lbfgs_step, "step", step)
    model = ddb.Model(scripts.klein_gordon(num_domain=num_domain), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=weights, verbose=0)
    model.train(iterations=2, verbose=0)
    model.compile("L-BFGS", loss_weights=weights, verbose=0)
    model.train(verbose=0)
    assert len(steps) == (4 if weights == "dn" else 0)
    model.compile("L-BFGS", loss_weights="keep", verbose=0)
    model.train(verbose=0)
    assert len(steps) == (8 if weights == "dn" else 4)
