"""When the compiled engine traces and compiles, and when it refuses to."""

from types import SimpleNamespace

import deepxde as dde
import numpy as np
import pytest
from _support import scripts
from _support.engines import assert_same_parameters

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance.gradients.compiled import iteration, limits
from deepxde_balance.gradients.compiled.limits import TraceLimits
from deepxde_balance.gradients.compiled.trace import trace
from deepxde_balance.problems.mini_batches import MiniBatches, PooledTimePDE


@pytest.fixture
def traces(monkeypatch):
    """Lists the traces that are made."""
    made = []

    def count(*args):
        made.append(args)
        return trace(*args)

    monkeypatch.setattr(iteration, "trace", count)
    return made


def model_of(data, engine):
    model = ddb.Model(data, scripts.network())
    weights = ddb.GW("std", alpha=0.5, update_every=3)
    model.compile("adam", lr=1e-3, loss_weights=weights, gradient_engine=engine, verbose=0)
    return model


def both(make_data, train):
    """The same training with the compiled engine and without; both draw the same points."""
    models = []
    for engine in ("compiled", "one-pass"):
        dde.config.set_random_seed(3)
        model = model_of(make_data(), engine)
        train(model)
        models.append(model)
    return models


def assert_refused(make_data, train, reason):
    """One warning, and then what the uncompiled engine gives."""
    with pytest.warns(UserWarning) as told:
        models = both(make_data, train)
    messages = [str(w.message) for w in told if "compiled" in str(w.message)]
    assert len(messages) == 1
    assert reason in messages[0]
    assert models[0].gradient_engine == "one-pass"
    assert_same_parameters(*models)


def assert_compiled(make_data, train):
    models = both(make_data, train)
    assert models[0].gradient_engine == "compiled"
    assert_same_parameters(*models)


class NewPoints(dde.callbacks.Callback):
    """Resamples the residual points after every so many iterations."""

    def __init__(self, period):
        super().__init__()
        self.period = period

    def on_epoch_end(self):
        if self.model.train_state.step % self.period == 0:
            self.model.data.resample_train_points(bc_points=False)


def observations_in_batches():
    points = np.random.default_rng(2).random((40, 2))
    return scripts.laplace(bcs=[dde.icbc.PointSetBC(points, points[:, 0:1], batch_size=10)])


def pool():
    geometry = dde.geometry.GeometryXTime(
        dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1)
    )
    points = geometry.random_points(60)
    bc = dde.icbc.PointSetBC(points[:15], points[:15, 0:1])
    return PooledTimePDE(geometry, scripts.laplace_residual, [bc], points, 20)


# What is refused before anything is traced.


def test_mini_batches_drawn_before_each_iteration(float64, compilations, traces):
    assert_refused(
        pool,
        lambda model: model.train(iterations=6, callbacks=[MiniBatches()], verbose=0),
        "points were new after 1 evaluation(s)",
    )
    assert not traces and not compilations


def test_points_resampled_after_each_iteration(float64, compilations, traces):
    assert_refused(
        scripts.laplace,
        lambda model: model.train(iterations=6, callbacks=[NewPoints(1)], verbose=0),
        "points were new after 1 evaluation(s)",
    )
    assert not traces and not compilations


def test_the_warning_comes_in_the_second_iteration(compilations):
    model = model_of(pool(), "compiled")
    model.train(iterations=1, callbacks=[MiniBatches()], verbose=0)  # no warning
    with pytest.warns(UserWarning, match="uncompiled"):
        model.train(iterations=2, callbacks=[MiniBatches()], verbose=0)


@pytest.mark.parametrize("bc_points", [True, False])
def test_a_resampler_of_a_short_period(bc_points, float64, compilations, traces):
    """It would resample first after 30 iterations; the warning comes before the first."""

    def train(model):
        callbacks = [dde.callbacks.PDEPointResampler(period=30, bc_points=bc_points)]
        model.train(iterations=4, callbacks=callbacks, verbose=0)

    assert_refused(observations_in_batches, train, "PDEPointResampler(period=30) resamples")
    assert not traces and not compilations


def test_a_resampler_in_later_trainings(float64, compilations):
    def train(model):
        model.train(iterations=4, verbose=0)
        for _ in range(2):
            resampler = dde.callbacks.PDEPointResampler(period=2)
            model.train(iterations=5, callbacks=[resampler], verbose=0)

    assert_refused(scripts.laplace, train, "PDEPointResampler(period=2)")
    assert len(compilations) == 1


def test_a_resampler_with_weight_1_for_all(float64, compilations, traces):
    """The engine is made by the first iteration, when training has begun already."""
    model = ddb.Model(scripts.laplace(), scripts.network())
    model.compile("adam", lr=1e-3, gradient_engine="compiled", verbose=0)
    callbacks = [dde.callbacks.PDEPointResampler(period=5)]
    with pytest.warns(UserWarning, match=r"PDEPointResampler\(period=5\)"):
        model.train(iterations=2, callbacks=callbacks, verbose=0)
    assert model.gradient_engine == "one-pass"
    assert not traces


@pytest.mark.parametrize("how", ["compiled anew", "restored"])
def test_mini_batches_where_there_were_iterations_before(
    how, float64, compilations, traces, tmp_path
):
    def train(model):
        model.train(iterations=1, callbacks=[MiniBatches()], verbose=0)
        name = model.gradient_engine
        path = model.save(str(tmp_path / name))
        weights = ddb.GW("std", alpha=0.5, update_every=3)
        model.compile("adam", lr=1e-3, loss_weights=weights, gradient_engine=name, verbose=0)
        if how == "restored":
            model.restore(path)
        model.train(iterations=5, callbacks=[MiniBatches()], verbose=0)

    assert_refused(pool, train, "points were new after 1 evaluation(s)")
    assert not traces and not compilations


# What is refused after a trace.


def test_points_that_stay_for_a_few_iterations(float64, compilations, traces):
    assert_refused(
        scripts.laplace,
        lambda model: model.train(iterations=12, callbacks=[NewPoints(7)], verbose=0),
        "points were new after 7 evaluation(s), they have to stay for 100",
    )
    assert len(traces) == len(compilations) == 1


def new_points_in_each_of(trainings, change):
    def train(model):
        for number in range(trainings):
            if number:
                change(model, number)
            model.train(iterations=3, verbose=0)

    return train


def resample(model, number):
    model.data.resample_train_points(bc_points=False)


def add_points(model, number):
    model.data.add_anchors(np.random.default_rng(number).random((5, 2)))


def test_points_new_in_each_of_many_short_trainings(float64, compilations, traces, monkeypatch):
    monkeypatch.setattr(limits, "MOST_SHORT_TRACES", 2)
    assert_compiled(scripts.laplace, new_points_in_each_of(3, resample))
    assert len(traces) == 3
    assert_refused(scripts.laplace, new_points_in_each_of(4, resample), "were new 3 times within")
    assert len(traces) == 6
    assert len(compilations) == 2


def test_more_points_in_each_of_many_trainings(float64, compilations, traces, monkeypatch):
    monkeypatch.setattr(limits, "MOST_COMPILATIONS", 2)
    assert_compiled(scripts.laplace, new_points_in_each_of(2, add_points))
    assert len(compilations) == 2
    assert_refused(scripts.laplace, new_points_in_each_of(3, add_points), "new 3 times, and each")
    assert len(compilations) == 4


# What stays compiled.


def test_points_resampled_every_hundred_iterations(float64, compilations, traces):
    def train(model):
        callbacks = [dde.callbacks.PDEPointResampler(period=100)]
        model.train(iterations=230, callbacks=callbacks, verbose=0)

    assert_compiled(scripts.laplace, train)
    assert len(traces) == 3
    assert len(compilations) == 1


def test_points_of_an_earlier_training_may_change_soon(float64, compilations, traces):
    def train(model):
        for _ in range(2):
            model.train(iterations=4, callbacks=[NewPoints(5)], verbose=0)

    assert_compiled(scripts.laplace, train)
    assert len(traces) == 2
    assert len(compilations) == 1


def test_a_resampler_beside_lbfgs(float64, compilations, traces, optimizer_options):
    """Its steps are many evaluations each; here one of all 20 iterations."""
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=20)
    model = ddb.Model(scripts.laplace(), scripts.network())
    model.compile("L-BFGS", loss_weights="gw-std", gradient_engine="compiled", verbose=0)
    model.train(callbacks=[dde.callbacks.PDEPointResampler(period=1)], verbose=0)
    assert model.gradient_engine == "compiled"
    assert len(traces) == 1


@pytest.mark.parametrize("weights", [None, "gw-std"])
def test_a_restored_run_is_compiled_from_its_first_iteration(
    weights, compilations, traces, tmp_path
):
    """As the unbroken run was there, so that both give the same to the bit."""
    path = None
    for iterations in (3, 1):
        model = ddb.Model(scripts.laplace(), scripts.network())
        model.compile("adam", lr=1e-3, loss_weights=weights, gradient_engine="compiled", verbose=0)
        if path is not None:
            model.restore(path)
        model.train(iterations=iterations, verbose=0)
        path = model.save(str(tmp_path / "model"))
    assert len(traces) == 2


def test_the_batch_size_of_train_changes_no_points(float64, compilations, traces):
    """DeepXDE ignores it for a PDE."""
    assert_compiled(scripts.laplace, lambda model: model.train(5, batch_size=4, verbose=0))
    assert len(traces) == 1


# The limits themselves.


def begun(step=0, callbacks=(), optimizer="adam"):
    data = SimpleNamespace(train_x=np.zeros((3, 2)), train_y=None, train_aux_vars=None)
    model = SimpleNamespace(
        data=data,
        train_state=SimpleNamespace(step=step),
        callbacks=SimpleNamespace(callbacks=list(callbacks)),
        opt_name=optimizer,
    )
    own = TraceLimits()
    own.begin(model)
    return own, Batch(data.train_x)


def new_batch():
    return Batch(np.zeros((3, 2)))


def test_the_first_points_of_a_run_are_traced_in_the_second_iteration():
    own, batch = begun()
    assert [own.allow_trace(batch, n, first=True) for n in (0, 1)] == [False, True]


def test_points_of_the_iteration_before_are_traced_at_once():
    """So that a restored run is compiled from its first iteration on, as the unbroken one was."""
    own, batch = begun(step=5)
    assert own.allow_trace(batch, 0, first=True)


def test_points_have_to_stay_for_a_hundred_evaluations():
    own, batch = begun()
    own.allow_trace(batch, 0, first=True)
    own.allow_trace(batch, 1, first=True)
    assert own.allow_trace(new_batch(), 100, first=False)
    with pytest.raises(ValueError, match="new after 99 evaluation"):
        own.allow_trace(new_batch(), 199, first=False)


def test_points_from_before_the_training_may_change_soon():
    """A restored run may be just before its resampler's next turn."""
    own, batch = begun(step=95)
    assert own.allow_trace(batch, 0, first=True)
    assert own.allow_trace(new_batch(), 5, first=False)
    with pytest.raises(ValueError, match="new after 5 evaluation"):
        own.allow_trace(new_batch(), 10, first=False)


def test_periods_of_a_hundred_and_fewer():
    resampler = dde.callbacks.PDEPointResampler
    begun(callbacks=[resampler(period=100)])
    begun(callbacks=[resampler(period=1)], optimizer="L-BFGS")
    with pytest.raises(ValueError, match="period=99"):
        begun(callbacks=[dde.callbacks.Timer(1), resampler(period=99)])


def test_ten_traces_in_quick_succession_and_ten_compilations():
    own, batch = begun(step=5)
    for n in range(11):
        assert own.allow_trace(batch, n, first=False)
    with pytest.raises(ValueError, match="new 11 times within 100 evaluations"):
        own.allow_trace(batch, 11, first=False)
    for _ in range(10):
        own.count_compilation()
    with pytest.raises(ValueError, match="new 11 times, and each takes a compilation"):
        own.count_compilation()
