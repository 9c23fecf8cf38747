"""DeepXDE's loop of L-BFGS."""

import deepxde as dde
import pytest
import torch
from _support import scripts
from _support.resumed import compiled

import deepxde_balance as ddb

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
