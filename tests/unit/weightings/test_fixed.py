"""Fixed weights as an object: one for each group."""

import pytest
from _support.scripts import klein_gordon, network

import deepxde_balance as ddb


@pytest.mark.parametrize("groups", [None, {"bc": [0], "ic": [1, 2]}])
def test_another_number_than_that_of_the_groups(groups):
    model = ddb.Model(klein_gordon(), network())
    fixed = ddb.weightings.Fixed([1, 2])
    with pytest.raises(ValueError, match=r"Fixed has 2 weights, but there are . groups: pde, bc"):
        model.compile("adam", lr=1e-3, loss_weights=fixed, loss_groups=groups, verbose=0)
    assert model.opt is None


def test_one_for_each_group():
    model = ddb.Model(klein_gordon(), network())
    fixed = ddb.weightings.Fixed([1, 2, 3])
    groups = {"bc": [0], "ic": [1, 2]}
    model.compile("adam", lr=1e-3, loss_weights=fixed, loss_groups=groups, verbose=0)
    model.train(iterations=2, verbose=0)
    assert model.weights == {"pde": 1, "bc": 2, "ic": 3}
