"""Test points that follow the conditions' points."""

import numpy as np
from _support import scripts

from deepxde_balance._deepxde.test_points import TestPoints


def problem():
    data = scripts.laplace(train_distribution="pseudo", num_test=16)
    data.test()
    return data


def test_they_stay_while_the_conditions_points_do():
    data = problem()
    made, before = TestPoints(data), data.test_x
    assert not made.refresh()
    assert data.test_x is before


def test_they_are_made_anew_for_new_points_once():
    data = problem()
    made, before = TestPoints(data), data.test_x
    data.resample_train_points(bc_points=True)
    assert made.refresh()
    number = len(data.train_x_bc)
    assert np.array_equal(data.test_x[:number], data.train_x_bc)
    assert not np.array_equal(data.test_x[:number], before[:number])
    assert len(data.test_x) == number + 16
    assert not made.refresh()


def test_a_scripts_own_stay():
    data = problem()
    own = data.test_x = np.random.rand(40, 2)
    made = TestPoints(data)
    data.resample_train_points(bc_points=True)
    assert not made.refresh()
    assert data.test_x is own
