"""A problem with a few of its points."""

import copy

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.features import FEATURES

from deepxde_balance._deepxde.batch import Batch
from deepxde_balance._deepxde.few_points import at_few_points, few_points
from deepxde_balance._deepxde.stock_losses import deepxde_losses


def state(data):
    conditions = [dict(vars(condition)) for condition in data.bcs]
    return [copy.copy(vars(data)), *conditions]


@pytest.mark.parametrize("feature", ["periodic", "point_sets", "interface", "batches_of_data"])
def test_the_problem_is_as_before(feature):
    data = FEATURES[feature]().data
    batch = Batch(*data.train_next_batch())
    before = state(data)
    with few_points(data, batch) as few:
        assert sum(data.num_bcs) < len(few.inputs) < len(batch.inputs)
        assert data.train_x is few.inputs
    for now, then in zip(state(data), before, strict=True):
        assert now.keys() == then.keys()
        assert all(now[name] is then[name] for name in then)


def test_the_losses_are_those_of_the_chosen_points(float64):
    data = scripts.klein_gordon(num_domain=200)
    net = scripts.network()
    model = dde.Model(data, net)
    model.compile("sgd", lr=1.0, verbose=0)
    batch = Batch(*data.train_next_batch())
    with few_points(data, batch) as few:
        found = deepxde_losses(model, few).losses
        points, numbers = few.inputs, data.num_bcs
    rows = {row.tobytes() for row in batch.inputs}
    assert all(row.tobytes() in rows for row in points)
    x = torch.as_tensor(points).requires_grad_()
    u = net(x)
    residual = scripts.klein_gordon_residual(x, u)[sum(numbers) :]
    target = torch.as_tensor(scripts.exact(points))
    torch.testing.assert_close(found[0], residual.square().mean())
    torch.testing.assert_close(found[1], (u - target)[: numbers[0]].square().mean())
    dde.gradients.clear()


def test_deepxdes_own_cache_keeps_no_targets_of_the_few(float64):
    """It goes by the `id` of an array, which another array gets when the few are deleted."""
    data = scripts.klein_gordon()
    model = dde.Model(data, scripts.network())
    model.compile("sgd", lr=1.0, verbose=0)
    cache = data.bcs[0].func.__closure__
    cached = next(cell.cell_contents for cell in cache if isinstance(cell.cell_contents, dict))
    with few_points(data, Batch(*data.train_next_batch())) as few:
        deepxde_losses(model, few)
    assert not cached


def test_all_points_where_a_few_are_not_enough():
    data = scripts.klein_gordon(num_domain=2000)
    batch = Batch(*data.train_next_batch())
    seen = []

    def evaluate(given):
        seen.append(len(given.inputs))
        if len(given.inputs) < 2000:
            raise ValueError("needs all")
        return "all"

    assert at_few_points(data, batch, evaluate, in_passes=True) == "all"
    assert seen[0] < 100
    assert seen[1] == len(batch.inputs)


def test_all_points_where_they_are_evaluated_together():
    data = scripts.klein_gordon(num_domain=2000)
    batch = Batch(*data.train_next_batch())
    assert at_few_points(data, batch, lambda given: given, in_passes=False) is batch
    assert np.array_equal(data.train_x, batch.inputs)
