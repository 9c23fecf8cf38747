"""Losses that are not finite, in a run that goes back; more in system/test_faults.py."""

import math
import warnings

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb


class Broken(dde.callbacks.Callback):
    """Makes a parameter nan after iteration 8, and interrupts the run after iteration 10."""

    def on_epoch_end(self):
        if self.model.train_state.step == 8:
            with torch.no_grad():
                next(self.model.net.parameters()).fill_(math.nan)
        if self.model.train_state.step == 10:
            raise KeyboardInterrupt


def test_losses_from_before_a_restore_are_forgotten(tmp_path):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    model.train(iterations=5, verbose=0)
    path = model.save(str(tmp_path / "model"))
    with pytest.raises(KeyboardInterrupt):
        model.train(iterations=100, display_every=50, callbacks=[Broken()], verbose=0)
    model.restore(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train(iterations=10, display_every=5, verbose=0)


@pytest.mark.parametrize(
    "optimizer, weights", [("adam", None), ("adam", "dn"), ("adam", [1, 2]), ("L-BFGS", [1, 2])]
)
def test_a_test_loss_that_is_nan_ends_a_training(optimizer, weights):
    """The residual is nan near one end, where there are test points only."""
    geom = dde.geometry.Interval(0, 1)
    data = dde.data.PDE(
        geom,
        lambda x, u: dde.grad.jacobian(u, x) * torch.where((x - 0.95).abs() < 0.04, math.nan, 1.0),
        dde.icbc.DirichletBC(geom, lambda x: 1, lambda x, on: on and x[0] < 0.5),
        num_domain=5,
        num_boundary=2,
        num_test=200,
    )
    model = ddb.Model(data, scripts.network((1, 5, 1)))
    model.compile(optimizer, lr=1e-3, loss_weights=weights, verbose=0)
    with pytest.warns(
        UserWarning, match=r"ended in iteration 0: the test loss of 'pde' is nan"
    ) as w:
        model.train(iterations=10 if optimizer == "adam" else None, verbose=0)
    assert [one.filename for one in w] == [__file__]
    assert np.isfinite(model.train_state.loss_train).all()


@pytest.mark.parametrize("strategy", ["auto", "dn", "uw", "sa"])
@pytest.mark.parametrize("stock", [False, True])
def test_a_loss_that_is_nan_before_the_first_iteration(strategy, stock):
    """DeepXDE then ends the training at its first record."""
    net = scripts.network()
    net.apply_output_transform(lambda x, u: u * torch.log(x[:, 0:1] - 2))
    data = scripts.laplace()
    data.bcs[0].error = lambda X, inputs, outputs, beg, end, aux_var=None: inputs[beg:end, 0:1]
    model = (dde.Model if stock else ddb.Model)(data, net)
    model.compile("adam", lr=1e-3, verbose=0, **({} if stock else {"loss_weights": strategy}))
    callbacks = [ddb.LossWeighting(strategy)] if stock else []
    with pytest.warns(UserWarning, match="The loss of 'pde' was not finite .* in iteration 0") as w:
        history, _ = model.train(iterations=9, callbacks=callbacks, verbose=0)
    assert history.steps == [0]
    assert sum("not finite" in str(one.message) for one in w) == 1


def test_a_network_that_is_nan_is_not_saved_before_any_training(tmp_path):
    model = ddb.Model(scripts.laplace(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    with torch.no_grad():
        next(model.net.parameters()).fill_(math.nan)
    with pytest.warns(UserWarning):
        model.save(str(tmp_path / "model"))
    assert not list(tmp_path.glob("*.pt"))
