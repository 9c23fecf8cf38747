import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.processes import on_ranks

import deepxde_balance as ddb
from deepxde_balance import ranks as ranks_module


class Alone(ranks_module.Ranks):
    """The only rank, without a process group."""

    def __init__(self):
        super().__init__(0, 1, timeout=1.0)
        self.sums = []

    def add_up(self, tensor):
        self.sums.append(tensor.numel())

    def gather(self, value):
        return [value] * self.size


@pytest.fixture
def alone(monkeypatch):
    """This process as the only rank; it counts what would be added up."""
    rank = Alone()
    monkeypatch.setattr(ranks_module, "_current", rank)
    return rank


def compiled(weights, **kwargs):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0, **kwargs)
    return model


def sums_of_an_iteration(alone, model):
    """What the second iteration adds up; the first one at new points exchanges more."""
    batch = model.data.train_next_batch()
    model.train_step(*batch)
    alone.sums.clear()
    model.train_step(*batch)
    return alone.sums


def test_an_update_from_gradients_adds_up_once(alone):
    model = compiled(ddb.DB("kurtosis", update_every=1))
    terms, groups = 4, 4
    expected = [terms + groups * len(scripts.parameters_of(model))]
    assert sums_of_an_iteration(alone, model) == expected


def test_an_iteration_without_update_adds_up_losses_and_one_gradient(alone):
    model = compiled("equal")
    expected = [4, len(scripts.parameters_of(model))]
    assert sums_of_an_iteration(alone, model) == expected


def test_point_weights_add_up_the_errors_of_all_points(alone):
    model = compiled("equal", point_weights="rba")
    points = len(model.data.train_x)  # each has one error
    expected = [points, 4, len(scripts.parameters_of(model))]
    assert sums_of_an_iteration(alone, model) == expected


def small(pde):
    """A problem on five points, from left to right, and a network that is 0 everywhere."""
    geom = dde.geometry.Interval(0, 1)
    bc = dde.icbc.DirichletBC(geom, lambda x: 1 + x, lambda _, on: on)
    data = dde.data.PDE(geom, pde, [bc], anchors=np.linspace(0, 1, 5)[:, None])
    net = scripts.network((1, 4, 1))
    torch.nn.init.zeros_(net.linears[-1].weight)
    return ddb.Model(data, net)


def test_a_residual_of_several_points_that_is_seen_late_ends_in_an_error(tmp_path):
    def train(ranks):
        model = small(lambda x, u: dde.grad.jacobian(u, x) + u - u.mean())
        model.compile("adam", lr=1e-2, verbose=0)
        model.train(iterations=3, verbose=0)

    for error in on_ranks(2, tmp_path, train):
        assert isinstance(error, RuntimeError)
        assert "The loss of pde can't be shared by 2 ranks" in str(error)


def test_losses_that_come_to_depend_on_other_parameters_end_in_an_error(tmp_path):
    def train(ranks):
        begun: list[int] = []
        unknown = dde.Variable(1.0)
        model = small(lambda x, u: u if len(begun) < 3 else u - unknown)
        begin = dde.callbacks.Callback()
        begin.on_batch_begin = lambda: begun.append(1)
        model.compile("adam", lr=1e-2, external_trainable_variables=[unknown], verbose=0)
        model.train(iterations=5, callbacks=[begin], verbose=0)

    for error in on_ranks(2, tmp_path, train):
        assert isinstance(error, RuntimeError)
        assert "came to depend on other parameters" in str(error)


def test_a_residual_that_fails_on_a_share_is_refused_on_every_rank(tmp_path):
    def compile_(ranks):
        coefficients = torch.linspace(1, 2, 7)[:, None]  # 2 points of the condition, 5 others
        model = small(lambda x, u: u * coefficients)
        with pytest.raises(ValueError) as refused:
            model.compile("adam", lr=1e-2, verbose=0)
        return str(refused.value)

    for message in on_ranks(2, tmp_path, compile_):
        assert "can't be evaluated at the points of rank 0 alone (RuntimeError: The size" in message
