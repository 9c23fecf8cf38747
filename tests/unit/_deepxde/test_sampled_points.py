"""What a data object draws at random."""

import copy

import deepxde as dde
import numpy as np
from _support import scripts
from _support.operators import operator

from deepxde_balance._deepxde.sampled_points import points, put_back


def test_compile_draws_no_mini_batch():
    model = operator(1, cartesian=True, batch_size=2)
    drawn = model.data.train_sampler._index_in_epoch
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    assert model.data.train_sampler._index_in_epoch == drawn


def test_points_that_are_the_same_are_not_exchanged():
    """DeepXDE knows arrays by their identity."""
    data = scripts.laplace()
    saved, before = copy.deepcopy(points(data)), points(data)
    assert saved is not None and before is not None
    put_back(data, saved)
    assert all(getattr(data, name) is value for name, value in before.items())
    saved["train_x"][0] += 1
    put_back(data, saved)
    assert data.train_x is saved["train_x"]
    assert data.train_x_all is before["train_x_all"]


def test_a_function_that_has_no_points_yet_gets_the_saved_ones():
    """Without a warning, which would be an error here: points are not replaced by others."""
    trained, fresh = (
        dde.data.Function(dde.geometry.Interval(0, 1), np.sin, 7, 7) for _ in range(2)
    )
    trained.train_next_batch()
    trained.test()
    saved = points(trained)
    assert saved is not None and fresh.train_x is None
    put_back(fresh, saved)
    np.testing.assert_array_equal(fresh.train_x, trained.train_x)
    np.testing.assert_array_equal(fresh.test_y, trained.test_y)
