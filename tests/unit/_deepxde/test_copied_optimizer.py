"""A copy of a model makes the steps that the model would have made, with every optimizer."""

import copy

import deepxde as dde
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


def test_a_copy_under_lbfgs_goes_on_as_the_model_does(optimizer_options):
    """Two calls of `train` of a model, the second by the copy: the history is copied, too."""
    optimizer_options.lbfgs.update(maxiter=10, iter_per_step=5)
    model, other = (ddb.Model(scripts.klein_gordon(), scripts.network()) for _ in range(2))
    for one in (model, other):
        one.compile("L-BFGS", loss_weights="gw-std", verbose=0)
        one.train(verbose=0)
    before = scripts.parameters_of(model).clone()
    copied = copy.deepcopy(model)
    copied.train(verbose=0)
    other.train(verbose=0)
    assert torch.equal(scripts.parameters_of(model), before)
    assert not torch.equal(scripts.parameters_of(copied), before)
    assert torch.equal(scripts.parameters_of(copied), scripts.parameters_of(other))


@pytest.mark.usefixtures("float64")
def test_a_copy_under_nncg_goes_on_as_the_model_does(optimizer_options):
    """Its preconditioner, which it makes anew in each twentieth iteration, is copied, too."""
    optimizer_options.nncg.update(rank=4, updatefreq=20, cgmaxiter=20)
    model, other = (ddb.Model(scripts.klein_gordon(), scripts.network()) for _ in range(2))
    for one in (model, other):
        one.compile("adam", lr=1e-2, verbose=0)
        one.train(iterations=50, verbose=0)
        dde.config.set_random_seed(0)  # the preconditioner is made from random vectors
        one.compile("NNCG", loss_weights="gw-std", verbose=0)
        one.train(iterations=2, verbose=0)
    assert_a_copy_goes_on_as(other, model)


class Halved(torch.optim.SGD):
    """Has a setting that is no option of a group of parameters, as optimizers of others do."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=1e-2)
        self.factor = 0.5

    def step(self, closure=None):
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= self.factor * group["lr"] * p.grad
        return loss


def test_a_copy_has_the_settings_of_the_optimizer():
    """The schedule of the learning rate has replaced the `step` of the original."""
    models = []
    for _ in range(2):
        net = scripts.network()
        model = ddb.Model(scripts.klein_gordon(), net)
        optimizer = Halved(net.parameters())
        model.compile(optimizer, decay=("step", 2, 0.5), loss_weights="gw-std", verbose=0)
        model.train(iterations=3, verbose=0)
        models.append(model)
    assert_a_copy_goes_on_as(*models)


def assert_a_copy_goes_on_as(other, model):
    before = scripts.parameters_of(model).clone()
    copied = copy.deepcopy(model)
    copied.train(iterations=3, verbose=0)
    other.train(iterations=3, verbose=0)
    assert torch.equal(scripts.parameters_of(model), before)
    assert not torch.equal(scripts.parameters_of(copied), before)
    assert torch.equal(scripts.parameters_of(copied), scripts.parameters_of(other))
