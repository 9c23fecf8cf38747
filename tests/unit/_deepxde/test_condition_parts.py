"""The errors of a condition's parts, one after the other, are its errors."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.features import FEATURES

from deepxde_balance._deepxde.batch import condition_spans
from deepxde_balance._deepxde.condition_parts import number_of_errors, part_of, rows_of_errors


def errors(condition, points, net):
    x = torch.as_tensor(points).requires_grad_()
    found = condition.error(points, x, net(x), 0, len(points)).detach()
    dde.gradients.clear()
    return found


@pytest.mark.parametrize(
    "feature",
    ["dirichlet_ic_operator", "neumann", "robin", "periodic", "point_sets", "interface"],
)
def test_parts(feature, float64):
    script = FEATURES[feature]()
    for condition, (beg, end) in zip(script.data.bcs, condition_spans(script.data), strict=True):
        points = script.data.train_x_bc[beg:end]
        expected = errors(condition, points, script.net)
        number = number_of_errors(condition, len(points))
        assert number == len(expected)
        middle = number // 3
        parts = [
            errors(
                part_of(condition, first, last),
                points[rows_of_errors(condition, first, last, len(points))],
                script.net,
            )
            for first, last in ((0, middle), (middle, number))
        ]
        torch.testing.assert_close(torch.cat(parts), expected)


def test_a_mini_batch(float64):
    points = np.random.default_rng(0).random((9, 2))
    condition = dde.icbc.PointSetBC(points, points[:, :1], batch_size=6)
    chosen = condition.collocation_points(None)
    part = part_of(condition, 2, 5)
    outputs = torch.zeros(3, 1)
    found = part.error(chosen[2:5], None, outputs, 0, 3)
    np.testing.assert_array_equal(found, -chosen[2:5, :1])


def test_one_value_for_all_points():
    condition = dde.icbc.PointSetBC(np.zeros((4, 2)), 3)
    assert (
        part_of(condition, 1, 3).error(None, None, torch.zeros(2, 1), 0, 2).tolist() == [[-3]] * 2
    )


def test_a_class_of_its_own_has_no_parts():
    class Mine(dde.icbc.DirichletBC):
        def error(self, *args, **kwargs):
            return super().error(*args, **kwargs).mean(dim=0, keepdim=True)

    condition = Mine(dde.geometry.Interval(0, 1), lambda x: x, lambda x, on: on)
    assert number_of_errors(condition, 10) is None
