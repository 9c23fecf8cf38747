"""What `build` may give, and what each wrong thing is told."""

import copy
import functools
from types import SimpleNamespace

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.own_problem import build, exact

import deepxde_balance as ddb
from deepxde_balance.experiments.user_problem import check_build, make, model_of

POINTS = np.linspace(0, 1, 7)[:, None]


def with_options(**options):
    return lambda: (*build(), options)


def model(problem):
    return model_of(problem, "equal", optimizer="adam", lr=1e-3)


def test_two_parts_three_or_an_object():
    callback = dde.callbacks.EarlyStopping()
    options = {
        "compile": {"loss": "MAE"},
        "solution": exact,
        "points": POINTS,
        "callbacks": [callback],
    }
    plain = make(build, 0)
    assert plain.compile == {} and plain.solution is None
    assert plain.points is None and plain.metric is None
    in_dict = make(with_options(**options), 0)
    dde.config.set_random_seed(0)
    parts = build()
    in_object = make(lambda: SimpleNamespace(data=parts[0], net=parts[1], **options), 0)
    for problem in (in_dict, in_object):
        assert problem.compile == {"loss": "MAE"} and problem.solution is exact
        assert problem.points is not None and problem.points.dtype == np.float32
        assert np.allclose(problem.points, POINTS)
        assert list(problem.callbacks) == [callback] and problem.metric is None
    assert in_dict.fingerprint == in_object.fingerprint == plain.fingerprint


def test_an_objects_error_is_its_metric():
    class Setup:
        def __init__(self):
            self.data, self.net = build()
            self.solution, self.points = None, POINTS

        def error(self, model):
            return np.float32(0.25)

    problem = make(Setup, 0)
    assert problem.errors(model(problem)) == {"metric": 0.25}


@pytest.mark.parametrize("points", [POINTS, None])
def test_the_relative_error_against_a_solution(points):
    options = {"solution": exact} | ({} if points is None else {"points": points})
    problem = make(with_options(**options), 0)
    made = model(problem)
    x = problem.data.train_x_all if points is None else points.astype(np.float32)
    difference = problem.net(torch.tensor(x)).detach().numpy() - exact(x)
    expected = np.sqrt((difference**2).sum() / (exact(x) ** 2).sum())
    assert problem.errors(made)["L2RE"] == pytest.approx(expected, rel=1e-5)


def test_test_points_are_the_points_where_there_are_some():
    seen = []

    def tested():
        return *build(num_test=9), {"solution": lambda x: (seen.append(x), exact(x))[1]}

    problem = make(tested, 0)
    problem.errors(model(problem))
    assert np.array_equal(seen[0], problem.data.test_x)
    assert len(seen[0]) < len(problem.data.train_x_all)


@pytest.mark.parametrize("value", [0.5, 1, np.float64(2), np.array([3.0]), torch.tensor(4.0)])
def test_what_a_metric_may_give(value):
    problem = make(with_options(metric=lambda model: value, solution=exact), 0)
    found = problem.errors(model(problem))
    assert found == {"metric": value} and type(found["metric"]) is float


@pytest.mark.parametrize("value", [None, "0.5", True, np.ones(2), [0.5]])
def test_a_metric_that_gives_no_number(value):
    problem = make(with_options(metric=lambda model: value), 0)
    with pytest.raises(TypeError, match=r"its metric gave .*: it must give a number"):
        problem.errors(model(problem))


def test_fingerprints_tell_networks_points_and_unknowns_apart():
    def other_points():
        data, net = build()
        data.train_x[3] += 1e-6
        return data, net

    def unknown(value):
        return {"external_trainable_variables": dde.Variable(value)}

    problems = [
        make(build, 0),
        make(build, 1),
        make(other_points, 0),
        make(lambda: (*build(), {"compile": unknown(1.0)}), 0),
        make(lambda: (*build(), {"compile": unknown(2.0)}), 0),
    ]
    assert len({problem.fingerprint for problem in problems}) == 5
    assert make(build, 0).fingerprint == problems[0].fingerprint


@pytest.mark.parametrize(
    "built, message",
    [
        (lambda: None, r"returned None \(a return is missing\): it must return data, net"),
        (lambda: build()[0], "returned an object of class PDE"),
        (lambda: (build()[0],), "returned 1 values"),
        (lambda: (*build(), {}, {}), "returned 4 values"),
        (lambda: (*build(), exact), "its options are .*: give a dict"),
        (lambda: build()[::-1], "data is of class FNN"),
        (lambda: (build()[0], "net"), "net is of class str"),
        (lambda: {"data": 1}, "returned an object of class dict"),
        (with_options(solution=3), "solution=3 is not allowed: give a function"),
        (with_options(metric="l2"), "metric='l2' is not allowed: give a function"),
        (with_options(callbacks=exact), "callbacks=.* give a list of callbacks"),
        (with_options(callbacks=[1]), r"callbacks=\[1\].* give a list of callbacks"),
        (with_options(compile=[1]), "give a dict of arguments"),
    ],
)
def test_wrong_kinds(built, message):
    with pytest.raises(TypeError, match=message):
        make(built, 0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"solutoin": exact}, "Unknown option of build 'solutoin'. Did you mean 'solution'"),
        ({"compile": {"lr": 1e-4}}, "compile has lr: give it to compare, as lr"),
        ({"compile": {"loss_weights": [1]}}, "give it to compare, as strategies"),
        ({"compile": {"loss_group": {}}}, "Did you mean 'loss_groups'"),
        ({"points": [1.0, 2.0]}, r"points of shape \(2,\)"),
        ({"points": [["a"]]}, "points of shape .* are not allowed"),
        ({"points": np.zeros((0, 1))}, r"points of shape \(0, 1\)"),
    ],
)
def test_wrong_values(options, message):
    with pytest.raises(ValueError, match=message):
        make(with_options(**options), 0)


def test_point_weights_of_its_own_change_the_checksum():
    """The records of other point weights are not those of this problem; equal ones are."""

    def halves(x):
        return 0.5 + 0 * x[:, 0]

    given = [
        None,
        "rba",
        "brdr",
        ddb.RBA(),
        ddb.RBA(eta=0.001),
        {"pde": "rba"},
        {"bc0": "rba"},
        {"bc0": np.ones(1)},
        {"bc0": 2 * np.ones(1)},
        {"bc0": torch.full((1,), 3.0)},
        {"pde": halves},
        {"pde": ddb.FixedPoints(np.ones(20))},
        {"pde": ddb.FixedPoints(2 * np.ones(20))},
        ddb.Causal(tolerance=[0.1, 1]),
    ]

    def checksums():
        built = [with_options(compile={"point_weights": copy.copy(one)}) for one in given]
        return [make(one, 0).fingerprint for one in built]

    assert len(set(checksums())) == len(given)
    assert checksums() == checksums()
    assert checksums()[0] == make(build, 0).fingerprint


def test_point_weights_of_the_problem_and_of_a_strategy():
    problem = make(with_options(compile={"point_weights": "rba"}), 0)
    with pytest.raises(ValueError, match=r"build: compile has point_weights, .* BRDR, too: leave"):
        model_of(problem, "equal", ddb.BRDR(), optimizer="adam", lr=1e-3)


@pytest.mark.parametrize(
    "solution, message",
    [
        (lambda x: x[:, 0], r"gives shape \(7,\) at 7 points, the network \(7, 1\)"),
        (lambda x: 0 * x, "the norm of its solution at the points is 0.0"),
        (lambda x: np.nan * x, "the norm of its solution at the points is nan"),
    ],
)
def test_a_solution_that_can_not_be_compared_with(solution, message):
    problem = make(with_options(solution=solution, points=POINTS), 0)
    with pytest.raises(ValueError, match=message):
        problem.errors(model(problem))


@pytest.mark.parametrize(
    "given, message",
    [
        (None, "build=None is not allowed: give a function"),
        (build(), "is not allowed: give a function"),
        (lambda n, m: build(), r"build takes arguments \(n, m\)"),
        (lambda *, n: build(), r"build takes arguments \(n\)"),
        (dde.nn.FNN, "build takes arguments"),
    ],
)
def test_what_is_no_build(given, message):
    with pytest.raises(TypeError, match=message):
        check_build(given)


def test_what_can_be_called_without_arguments():
    check_build(build)
    check_build(lambda n=3, *more, **others: build())
    check_build(functools.partial(lambda n: build(), 3))
    check_build(SimpleNamespace)


def test_points_of_another_dimension():
    data, net = build()
    with pytest.raises(ValueError, match=r"shape \(5, 3\) are not allowed: .* have 1 coordinates"):
        make(lambda: (data, net, {"points": np.zeros((5, 3))}), 0)
