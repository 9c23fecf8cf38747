"""Conditions at given points: their points and values are those of the saved run, or are told."""

import copy
import warnings

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.resumed import assert_same, compiled, everything, resampler
from _support.scripts import laplace, parameters_of

import deepxde_balance as ddb
from deepxde_balance.checkpoints import condition_data, run_state

pytestmark = pytest.mark.filterwarnings("error")


def problem(seed, number=12, batch_size=None, noise=0.0, points_seed=None, operator=False):
    """A DirichletBC and measurements that are drawn by the seed."""
    points = np.random.default_rng(seed if points_seed is None else points_seed).random((number, 2))
    dde.config.set_random_seed(seed)  # a sampler of mini-batches draws at once
    values = points[:, :1] ** 2 + noise * np.random.default_rng(seed).normal(size=(number, 1))
    if operator:
        measured = dde.icbc.PointSetOperatorBC(points, values, lambda x, u, _: 2 * u, batch_size)
    else:
        measured = dde.icbc.PointSetBC(points, values, batch_size=batch_size)
    dde.config.set_random_seed(5)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    walls = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], lambda _, on: on)
    return laplace(geom, [walls, measured])


def run(seed, folder=None, total=10, stop=5, **options):
    """A run of `total` iterations, or one that is taken up by a model of another seed."""
    points = options.pop("point_weights", None)
    model = compiled("db-mean", problem(1, **options), point_weights=points)
    if folder is None:
        model.train(iterations=total, display_every=4, callbacks=resampler(), verbose=0)
        return model
    saver = dde.callbacks.ModelCheckpoint(str(folder / "run"), period=stop)
    model.train(iterations=total, display_every=4, callbacks=[saver, *resampler()], verbose=0)
    model = compiled("db-mean", problem(seed, **options), point_weights=points)
    with pytest.warns(UserWarning, match=r"points or values of data1 are not the model's") as told:
        model.restore(str(folder / f"run-{stop}.pt"))
    assert [w.filename for w in told] == [__file__]
    model.train(iterations=total - stop, display_every=4, callbacks=resampler(), verbose=0)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"points_seed": 1, "noise": 0.1},
        {"batch_size": 5, "point_weights": {"data1": "rba"}},
        pytest.param(
            {"batch_size": 5, "operator": True},
            marks=pytest.mark.skipif(
                dde.__version__ < "1.15", reason="DeepXDE 1.14 has no such mini-batches"
            ),
        ),
    ],
)
def test_data_of_another_seed_make_room_for_the_saved_run_s(options, tmp_path):
    expected = everything(run(1, **options))
    found = run(2, tmp_path, **options)
    assert_same(expected, everything(found))
    bc, first = found.data.bcs[1], problem(1, **_without_weights(options)).bcs[1]
    np.testing.assert_array_equal(bc.points, first.points)
    assert torch.equal(bc.values, first.values)
    dde.config.set_random_seed(0)


def _without_weights(options):
    return {key: value for key, value in options.items() if key != "point_weights"}


def saved(tmp_path, **options):
    model = compiled("db-mean", problem(1, **options))
    model.train(iterations=2, verbose=0)
    return model, model.save(str(tmp_path / "run"))


def test_the_same_data_are_not_told(tmp_path):
    _, path = saved(tmp_path)
    other = compiled("db-mean", problem(1))
    values = other.data.bcs[1].values
    other.restore(path)
    assert other.data.bcs[1].values is values


def others(what):
    data = problem(2)
    if what == "fewer conditions":
        del data.bcs[0]
    elif what == "other kind":
        data.bcs[1] = data.bcs[0]
    elif what == "scalar":
        data.bcs[1].values = torch.tensor(1.0)
    elif what == "batches":
        data = problem(2, batch_size=4)
    elif what == "more points":
        data = problem(2, number=15)
    return data


@pytest.mark.parametrize(
    "what, message",
    [
        ("more points", r"its condition data1 has 12 points, the model's 15\."),
        ("batches", r"its condition data1 has batch_size=None, the model's 4"),
        ("other kind", r"its condition bc1 has given points, the model's has not"),
        ("scalar", r"of the shapes \(\(12, 2\), \(12, 1\)\), the model's of \(\(12, 2\), \(\)\)"),
        ("fewer conditions", r"it has 2 IC/BC conditions, the model 1"),
    ],
)
def test_other_conditions_are_refused(what, message, tmp_path):
    model = ddb.Model(problem(1), compiled("db-mean").net)
    model.compile("adam", lr=1e-3, verbose=0)  # without a strategy, groups are not compared
    path = model.save(str(tmp_path / "run"))
    data = others(what)
    other = ddb.Model(data, copy.deepcopy(model.net))
    other.compile("adam", lr=1e-3, verbose=0)
    with pytest.raises(ddb.CheckpointError, match=message):
        other.restore(path)


def test_values_that_are_trained_stay_variables(tmp_path):
    def make(start):
        value = dde.Variable(start)
        data = problem(1)
        data.bcs[1].values = value
        return compiled("db-mean", data, external_trainable_variables=value), value

    model, value = make(0.5)
    model.train(iterations=2, verbose=0)
    path = model.save(str(tmp_path / "run"))
    other, restored = make(3.0)
    other.restore(path)
    assert other.data.bcs[1].values is restored
    assert restored.item() == value.item() != 0.5


def test_a_failed_restore_leaves_the_data(tmp_path, monkeypatch):
    _, path = saved(tmp_path)
    other = compiled("db-mean", problem(2))
    before = copy.deepcopy(vars(other.data.bcs[1]))
    apply, calls = run_state.restore_counters, []

    def fails_once(*args):
        calls.append(0)
        if len(calls) == 1:
            raise RuntimeError("half way")
        apply(*args)

    monkeypatch.setattr(run_state, "restore_counters", fails_once)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ddb.CheckpointError, match="half way"):
            other.restore(path)
    np.testing.assert_array_equal(other.data.bcs[1].points, before["points"])
    assert torch.equal(other.data.bcs[1].values, before["values"])


def of_format_4(path):
    content = torch.load(path, weights_only=True)
    ours = content["deepxde_balance"]
    ours["format"] = 4
    del ours["run"]["conditions"]
    torch.save(content, path)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_a_checkpoint_without_the_data(batch_size, tmp_path):
    model, path = saved(tmp_path, batch_size=batch_size)
    of_format_4(path)
    other = compiled("db-mean", problem(1, batch_size=batch_size))
    with pytest.warns(UserWarning, match="format 4 does not have the values of data1") as told:
        other.restore(path)
    assert [w.filename for w in told] == [__file__]
    assert torch.equal(parameters_of(other), parameters_of(model))
    other = compiled("db-mean", problem(2, batch_size=batch_size))
    before = parameters_of(other)
    with pytest.raises(ddb.CheckpointError, match="points of data1 are not the model's, and"):
        other.restore(path)
    assert torch.equal(parameters_of(other), before)


def test_a_checkpoint_of_format_4_of_other_conditions_is_silent(tmp_path):
    model = compiled("db-mean")
    model.train(iterations=2, verbose=0)
    path = model.save(str(tmp_path / "run"))
    of_format_4(path)
    compiled("db-mean").restore(path)


def test_the_data_of_a_fractional_problem_stay_as_its_points_do():
    def make(seed):
        points = np.random.default_rng(seed).random((3, 2)) / 2
        return dde.data.FPDE(
            dde.geometry.Disk([0, 0], 1),
            lambda x, u, matrix: u,
            1.8,
            dde.icbc.PointSetBC(points, points[:, :1]),
            [4, 10],
            num_domain=8,
            num_boundary=2,
        )

    one, other = make(1), make(2)
    points = other.bcs[0].points
    with pytest.warns(UserWarning, match=r"data0 are not the model's, and are not put back, as"):
        assert condition_data.check(other, condition_data.capture(one)) is None
    condition_data.put_back(other, condition_data.capture(one))
    assert other.bcs[0].points is points
