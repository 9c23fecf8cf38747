"""split_bc: the parts' points are a partition of the whole's, and their errors are the whole's."""

from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deepxde_balance as ddb

RECTANGLE = dde.geometry.Rectangle([0, -1], [2, 1])
CUBOID = dde.geometry.Cuboid([0, 0, 0], [1, 2, 3])
HYPERCUBE = dde.geometry.Hypercube([0] * 4, [1] * 4)
INTERVAL = dde.geometry.Interval(-1, 1)
DISK = dde.geometry.Disk([0, 0], 1)
TIME = dde.geometry.TimeDomain(0, 1)


def in_time(geometry):
    return dde.geometry.GeometryXTime(geometry, TIME)


def value(x):
    return np.sin(x).sum(axis=1, keepdims=True)


def on(_, on_boundary):
    return on_boundary


def derivative(x, y, _):
    return dde.grad.jacobian(y, x, i=0, j=1) + y


CONDITIONS = {
    "dirichlet": lambda g: dde.icbc.DirichletBC(g, value, on),
    "neumann": lambda g: dde.icbc.NeumannBC(g, value, on, component=1),
    "robin": lambda g: dde.icbc.RobinBC(g, lambda x, y: y[:, 1:2] * 2, on, component=1),
    "operator": lambda g: dde.icbc.OperatorBC(g, derivative, on),
    "periodic": lambda g: dde.icbc.PeriodicBC(g, 0, on),
    "periodic derivative": lambda g: dde.icbc.PeriodicBC(g, 0, on, derivative_order=1),
}


def half(x):
    return x[0] > 0.4


def upper(x):
    return x[:, 1] > 0.1


def left_of_middle(x, on_boundary):
    return on_boundary and x[0] < 0.7


#: DeepXDE caches targets by the id of the points, which a new array may have from one that is gone.
_ALIVE: list[Any] = []


def errors(bc, X):
    """The condition's points among X and its errors there, for a fixed function."""
    points = bc.collocation_points(X)
    _ALIVE.append(points)
    inputs = torch.tensor(points, requires_grad=True)
    s = inputs.sum(dim=1, keepdim=True)
    outputs = torch.cat([torch.sin(2 * s), inputs[:, 0:1] ** 2 * torch.cos(s)], dim=1)
    error = bc.error(points, inputs, outputs, 0, len(points)).detach().numpy()
    dde.gradients.clear()
    return points, error


def assert_partition(whole, parts, X):
    """Each point of the whole, with its error, is in exactly one part (pairs for PeriodicBC)."""
    points, error = errors(whole, X)
    if isinstance(whole, dde.icbc.PeriodicBC):
        points = np.hstack(np.split(points, 2))
    rows = []
    for part in parts.values():
        if not len(part.collocation_points(X)):
            continue
        part_points, part_error = errors(part, X)
        if isinstance(whole, dde.icbc.PeriodicBC):
            part_points = np.hstack(np.split(part_points, 2))
        rows.append(np.hstack([part_points, part_error]))
    expected = np.hstack([points, error])
    found = np.concatenate(rows)
    assert found.shape == expected.shape
    np.testing.assert_allclose(_sorted(found), _sorted(expected), atol=1e-12)


def _sorted(rows):
    return rows[np.lexsort(rows[:, ::-1].T)]  # by the points, which are copied exactly


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize(
    "geometry, by, names",
    [
        (RECTANGLE, "axis", ["x", "y"]),
        (RECTANGLE, "face", ["x_min", "x_max", "y_min", "y_max"]),
        (CUBOID, "axis", ["x", "y", "z"]),
        (CUBOID, "face", ["x_min", "x_max", "y_min", "y_max", "z_min", "z_max"]),
        (HYPERCUBE, "axis", ["x0", "x1", "x2", "x3"]),
        (in_time(INTERVAL), "face", ["x_min", "x_max"]),
        (in_time(RECTANGLE), "axis", ["x", "y"]),
        (RECTANGLE, {"right": half, "rest": None}, ["right", "rest"]),
        (RECTANGLE, {"rest": None, "upper": upper, "right": half}, ["rest", "upper", "right"]),
        (DISK, {"upper": upper, "left": left_of_middle, "rest": None}, ["upper", "left", "rest"]),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
@given(seed=st.integers(0, 10**6), number=st.integers(1, 60))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_partition_of_boundary_conditions(kind, geometry, by, names, seed, number, float64):
    if geometry is DISK and kind.startswith("periodic"):
        return  # DeepXDE has no periodic points on a disk
    rng = np.random.default_rng(seed)
    np.random.seed(seed)
    X = np.vstack([geometry.random_boundary_points(number), geometry.random_points(5)])
    X = X.astype(float)
    box = geometry.geometry if hasattr(geometry, "geometry") else geometry
    if isinstance(box, dde.geometry.Hypercube):  # corners and edges too
        corners = np.where(rng.random((3, box.dim)) < 0.5, box.xmin, box.xmax)
        X = np.vstack([X, np.hstack([corners, rng.random((3, X.shape[1] - box.dim))])])
    whole = CONDITIONS[kind](geometry)
    parts = ddb.split_bc(whole, by)
    assert list(parts) == names
    assert all(type(part) is type(whole) for part in parts.values())
    assert_partition(whole, parts, X)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_partition_of_an_initial_condition(seed):
    geometry = in_time(INTERVAL)
    np.random.seed(seed)
    X = np.vstack([geometry.random_initial_points(20), geometry.random_points(5)])
    whole = dde.icbc.IC(geometry, value, lambda _, on_initial: on_initial)
    parts = ddb.split_bc(whole, {"left": lambda x: x[0] < 0, "right": None})
    assert_partition(whole, parts, X)
    assert np.all(parts["left"].collocation_points(X)[:, 0] < 0)


@given(number=st.integers(4, 40), seed=st.integers(0, 10**6), scalar=st.booleans(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_partition_of_point_sets(number, seed, scalar, data):
    points = np.random.default_rng(seed).random((number, 2))
    points[0, 0], points[1, 0] = 0.1, 0.9
    values = 3.0 if scalar else value(points)
    whole = data.draw(
        st.sampled_from(
            [
                dde.icbc.PointSetBC(points, values, component=1),
                dde.icbc.PointSetOperatorBC(points, value(points), derivative),
            ]
        )
    )
    parts = ddb.split_bc(whole, {"right": lambda x: x[:, 0] > 0.5, "left": None})
    assert_partition(whole, parts, None)
    assert np.all(parts["right"].points[:, 0] > 0.5)


def test_point_set_by_component():
    points = np.random.rand(7, 2)
    values = np.hstack([value(points), 2 * value(points)])
    whole = dde.icbc.PointSetBC(points, values, component=[1, 0])
    parts = ddb.split_bc(whole, "component")
    assert list(parts) == ["component1", "component0"]
    together = np.hstack([errors(part, None)[1] for part in parts.values()])
    np.testing.assert_allclose(together, errors(whole, None)[1])


def test_batches_of_a_point_set_stay_within_the_part():
    points = np.linspace(0, 1, 20)[:, None]
    whole = dde.icbc.PointSetBC(points, 10 * points, batch_size=10)
    parts = ddb.split_bc(whole, {"low": lambda x: x[0] < 0.25, "high": None})
    for name, number in (("low", 2), ("high", 8)):
        batch = parts[name].collocation_points(None)
        assert len(batch) == number
        assert np.all((batch < 0.25) == (name == "low"))
        outputs = torch.as_tensor(10 * batch)
        assert parts[name].error(batch, None, outputs, 0, len(batch)).abs().max() < 1e-6


def test_a_part_of_few_points_has_batches_of_one():
    """A 20th of the points, but of a batch of 4 still one."""
    points = np.linspace(0, 1, 20)[:, None]
    whole = dde.icbc.PointSetBC(points, points, batch_size=4)
    parts = ddb.split_bc(whole, {"first": lambda x: x[0] < 0.01, "rest": None})
    assert parts["first"].collocation_points(None).tolist() == [[0.0]]
    assert len(parts["rest"].collocation_points(None)) == 4


def test_corners_go_to_the_first_part_that_claims_them():
    whole = dde.icbc.DirichletBC(RECTANGLE, value, on)
    corners = np.array([[0.0, -1], [0, 1], [2, -1], [2, 1]])
    parts = ddb.split_bc(whole, "axis")
    assert len(parts["x"].collocation_points(corners)) == 4
    parts = ddb.split_bc(whole, {"y": lambda x: np.isclose(abs(x[1]), 1), "x": None})
    assert len(parts["y"].collocation_points(corners)) == 4


def test_sides_without_points_are_left_out():
    left = dde.icbc.DirichletBC(RECTANGLE, value, lambda x, on: on and not np.isclose(x[1], 1))
    assert list(ddb.split_bc(left, "face")) == ["x_min", "x_max", "y_min"]


def test_parts_in_a_data_object_have_the_wholes_losses():
    """The whole's MSE is the parts' MSEs, weighed with their numbers of points."""
    whole = dde.icbc.DirichletBC(RECTANGLE, value, on)
    parts = ddb.split_bc(whole, "face")
    losses = []
    for conditions in ([whole], list(parts.values())):
        dde.config.set_random_seed(3)
        data = dde.data.PDE(RECTANGLE, None, conditions, num_domain=0, num_boundary=40)
        net = dde.nn.FNN([2, 5, 1], "tanh", "Glorot normal")
        model = dde.Model(data, net)
        model.compile("adam", lr=1e-3, verbose=0)
        model.train(iterations=0, verbose=0)
        losses.append((np.array(data.num_bcs), np.array(model.train_state.loss_train)))
    (n_whole, whole_loss), (n_parts, part_losses) = losses
    assert n_parts.sum() == n_whole[0] == 40
    assert (n_parts * part_losses).sum() / 40 == pytest.approx(whole_loss[0], rel=1e-5)


BC = dde.icbc.DirichletBC(RECTANGLE, value, on)
POINTS = dde.icbc.PointSetBC(np.random.rand(5, 2), 0)


@pytest.mark.parametrize(
    "bc, by, error, message",
    [
        (BC, "sides", ValueError, "'axis', 'face', 'component'"),
        (BC, {"all": None}, ValueError, "fewer than two parts"),
        (BC, {"a": None, "b": None}, ValueError, "more than one None"),
        (BC, {"unweighted": half, "b": None}, ValueError, "a reserved key of loss_groups"),
        (BC, {"a": 1, "b": None}, TypeError, "neither a predicate nor None"),
        (BC, "component", ValueError, "list of components"),
        (dde.icbc.DirichletBC(DISK, value, on), "axis", ValueError, "is a Disk"),
        (dde.icbc.DirichletBC(INTERVAL, value, on), "axis", ValueError, "leaves one part"),
        (POINTS, "axis", ValueError, "mapping from names to predicates"),
        (POINTS, {"a": lambda x: x[0] > 2, "b": None}, ValueError, "'a'.*has no points"),
        (
            POINTS,
            {"a": lambda x: x[0] < 0, "b": lambda x: x[0] < -1},
            ValueError,
            "belong to none of the parts",
        ),
        (POINTS, {"a": lambda x, on: on, "b": None}, ValueError, "has no geometry"),
        (POINTS, {"a": lambda x: np.ones((len(x), 3)), "b": None}, ValueError, "truth value"),
        ("bc", "axis", TypeError, "no IC/BC object"),
        (
            dde.icbc.IC(in_time(INTERVAL), value, on),
            "face",
            ValueError,
            "mapping from names to predicates",
        ),
        (
            dde.icbc.Interface2DBC(RECTANGLE, lambda x: 0, on, on),
            "face",
            TypeError,
            "pairs the points",
        ),
    ],
)
def test_bad_input(bc, by, error, message):
    with pytest.raises(error, match=message):
        ddb.split_bc(bc, by)


def test_a_point_of_no_part_is_an_error_when_points_are_sampled():
    parts = ddb.split_bc(BC, {"right": half, "top": lambda x: np.isclose(x[1], 1)})
    with pytest.raises(ValueError, match=r"belong to none of the parts right, top, the first at"):
        dde.data.PDE(RECTANGLE, None, list(parts.values()), num_boundary=20)
