"""Values of targets: kept while the points are the same, and no longer."""

import weakref

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance._deepxde.target_cache import TargetCache, mend_targets


class Counted:
    """Twice the points, and how often that was asked for."""

    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return torch.as_tensor(2 * x)


def test_the_same_points_are_evaluated_once():
    function = Counted()
    cache, X = TargetCache(function), np.arange(6.0)[:, None]
    for _ in range(3):
        assert cache(X, 1, 4).tolist() == [[2.0], [4.0], [6.0]]
    assert function.calls == 1
    assert cache(X, 0, 2).tolist() == [[0.0], [2.0]]
    assert function.calls == 2


def test_points_changed_in_place_are_evaluated_again():
    cache, X = TargetCache(Counted()), np.arange(6.0)[:, None]
    cache(X, 1, 4)
    X[2] = 10
    assert cache(X, 1, 4).tolist() == [[2.0], [20.0], [6.0]]


def test_live_values_are_never_kept():
    function = Counted()
    cache, X = TargetCache(function), np.ones((3, 1))
    cache.live = True
    for _ in range(3):
        cache(X, 0, 3)
    assert function.calls == 3


def test_values_that_were_kept_before_are_forgotten():
    cache, X, scale = TargetCache(lambda x: torch.as_tensor(scale[0] * x)), np.ones((3, 1)), [1.0]
    cache(X, 0, 3)
    cache.live = True
    scale[0] = 2.0
    assert cache(X, 0, 3).tolist() == [[2.0]] * 3
    cache.live = False
    assert cache(X, 0, 3).tolist() == [[2.0]] * 3


def test_targets_follow_a_variable_that_is_trained_from_the_second_phase_on():
    c = dde.Variable(2.0)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: c.item() * x[:, 0:1], lambda _, on: on)
    model = ddb.Model(scripts.laplace(geom, [bc]), scripts.network())
    for variables in (None, [c]):
        model.compile("adam", lr=0.1, external_trainable_variables=variables, verbose=0)
        model.train(iterations=2, verbose=0)
    with torch.no_grad():
        c.fill_(5.0)
    points = model.data.train_x_bc
    error = model.predict(points) - 5.0 * points[:, 0:1]
    model.train(iterations=0, verbose=0)
    assert model.train_state.loss_train[1] == pytest.approx(np.mean(error**2), rel=1e-5)


def test_points_of_long_ago_are_let_go():
    cache, arrays = TargetCache(Counted()), []
    for i in range(30):
        X = np.full((3, 1), float(i))
        assert cache(X, 0, 3).tolist() == [[2.0 * i]] * 3
        arrays.append(weakref.ref(X))
    del X
    alive = [i for i, array in enumerate(arrays) if array() is not None]
    assert 0 < len(alive) <= 8
    assert alive == list(range(30))[-len(alive) :]


def mended(target, variable):
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, target, lambda _, on: on)
    data = scripts.laplace(geom, [bc])
    mend_targets(data, [variable])
    return bc.func, data.train_x_bc


@pytest.mark.parametrize("depends", [True, False])
def test_targets_are_live_if_they_depend_on_a_variable(depends):
    c = dde.Variable(2.0)
    cache, _ = mended(lambda x: (c.item() if depends else 3.0) * x[:, 0:1], c)
    assert cache.live == depends
    assert c.item() == 2.0


def test_noise_from_a_generator_of_its_own_is_drawn_once():
    noise = np.random.default_rng(0)
    cache, points = mended(lambda x: noise.random((len(x), 1)), dde.Variable(2.0))
    assert not cache.live
    first = cache(points, 0, len(points)).clone()
    assert torch.equal(cache(points, 0, len(points)), first)
