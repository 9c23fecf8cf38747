"""Runs that are interrupted and taken up by a fresh model, and what they are compared by."""

import copy
import random
from typing import Any

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb

from .scripts import klein_gordon, laplace, network, parameters_of


def compiled(weights="db-kurtosis", data=None, net=None, **arguments):
    model = ddb.Model(data or klein_gordon(), net or network())
    defaults: dict[str, Any] = {"lr": 1e-3, "decay": ("step", 7, 0.5), "verbose": 0}
    model.compile("adam", loss_weights=weights, **(defaults | arguments))
    return model


def strategy(name):
    """Updates every 4 iterations, so that a checkpoint after 17 is between two updates."""
    return ddb.weightings.get(name, update_every=4)


BEST = ("best_step", "best_loss_train", "losses_at_best", "record_weights")


def everything(model):
    """All that two equal runs have in common; copies, for a model may go on or back."""
    history, weighting = model.losshistory, model.weighting
    state = {
        "parameters": parameters_of(model),
        "optimizer": model.opt.state_dict(),
        "learning rate": model.opt.param_groups[0]["lr"],
        "weights": model.weights,
        "weighting": weighting.state_dict() if weighting and weighting.dynamic else None,
        "points": [model.data.train_x, getattr(model.data, "train_x_bc", None)],
        "steps": history.steps,
        "losses": [*history.loss_train, *history.loss_test],
        "recorded weights": history.loss_weights,
        "iteration": (model.train_state.iteration, model.train_state.step),
        "best": [getattr(model.train_state, name) for name in BEST],
        "random": (random.random(), np.random.rand(3), torch.rand(3)),
    }
    return copy.deepcopy(state)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, torch.Tensor):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    elif isinstance(a, np.ndarray):
        assert np.array_equal(a, b)
    else:
        assert a == b


class StopAt(dde.callbacks.Callback):
    """Stands for a kill: ends training before the iteration that it was to end with."""

    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_epoch_end(self):
        if self.model.train_state.iteration >= self.iteration:
            self.model.stop_training = True


class KillAt(dde.callbacks.Callback):
    """Ends everything, as Ctrl-C does, before the checkpoint of that iteration."""

    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_epoch_end(self):
        if self.model.train_state.iteration >= self.iteration:
            raise KeyboardInterrupt


def broken_and_unbroken(make, callbacks, folder, total=30, stop=17):
    """Trains once through, and once killed after a checkpoint and taken up by a fresh model."""
    unbroken = make()
    unbroken.train(iterations=total, display_every=5, callbacks=callbacks(), verbose=0)
    expected = everything(unbroken)
    first = make()
    saving = dde.callbacks.ModelCheckpoint(str(folder / "run"), period=stop)
    first.train(
        iterations=total,
        display_every=5,
        callbacks=[saving, *callbacks(), StopAt(stop + 2)],
        verbose=0,
    )
    dde.config.set_random_seed(99)  # another process
    second = make()
    second.restore(str(folder / f"run-{stop}.pt"))
    assert second.train_state.step == stop
    second.train(iterations=total - stop, display_every=5, callbacks=callbacks(), verbose=0)
    return expected, everything(second)


def resampler():
    return [dde.callbacks.PDEPointResampler(period=6, bc_points=True)]


def pseudo_random():
    """A problem of two conditions whose points are drawn anew, from NumPy's random state."""
    dde.config.set_random_seed(42)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bcs = [
        dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1] * x[:, 1:2], lambda _, on: on),
        dde.icbc.OperatorBC(
            geom, lambda x, u, _: dde.grad.jacobian(u, x, j=0) - x[:, 1:2], lambda _, on: on
        ),
    ]
    return laplace(geom, bcs, num_domain=40, num_boundary=24, train_distribution="pseudo")
