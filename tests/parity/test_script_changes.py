"""What scripts change while they train, or in between: stock DeepXDE follows, and so do we."""

import copy
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")

ENGINES = pytest.mark.parametrize("engine", ["one-pass", "compiled", "per-group"])


class Each(dde.callbacks.Callback):
    """Does something to the model after an iteration."""

    def __init__(self, iteration, change):
        super().__init__()
        self.iteration, self.change = iteration, change

    def on_epoch_end(self):
        if self.model.train_state.iteration == self.iteration:
            self.change(self.model)


def trained(model_class, change, data=None, **compile_args):
    model = model_class(data() if data else scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, verbose=0, **compile_args)
    model.train(iterations=8, display_every=2, callbacks=[Each(3, change)], verbose=0)
    return model


def assert_same(stock, ours, own_losses=True):
    np.testing.assert_allclose(
        scripts.parameters_of(ours), scripts.parameters_of(stock), rtol=1e-9, atol=1e-9
    )
    if own_losses:
        np.testing.assert_allclose(
            ours.losshistory.loss_train, stock.losshistory.loss_train, rtol=1e-8
        )


def assign(model):
    model.loss_weights = [1.0, 0.0, 50.0, 3.0]


def in_place(model):
    model.loss_weights[1] = 0.0


LISTS: list[Any] = []


def in_the_scripts_own_list(model):
    LISTS[-1][2] = 70.0


def none(model):
    model.loss_weights = None


@ENGINES
@pytest.mark.parametrize(
    "before, change",
    [
        ([1.0, 5.0, 2.0, 3.0], assign),
        ([1.0, 5.0, 2.0, 3.0], in_place),
        ([1.0] * 4, in_the_scripts_own_list),
        ([2.0] * 4, none),
        (None, assign),
    ],
)
def test_loss_weights_that_a_callback_sets(before, change, engine, float64, compilations):
    LISTS.append(copy.copy(before))
    stock = trained(dde.Model, change, loss_weights=LISTS[-1])
    LISTS.append(copy.copy(before))
    ours = trained(ddb.Model, change, loss_weights=LISTS[-1], gradient_engine=engine)
    assert ours.gradient_engine == engine
    assert_same(stock, ours)
    expected = [1.0] * 4 if stock.loss_weights is None else stock.loss_weights
    assert list(ours.weights.values()) == expected
    assert list(ours.losshistory.loss_weights[-1].values()) == expected


@pytest.mark.parametrize("weights", ["db-mean", "sa", "uw"])
def test_loss_weights_set_under_a_strategy_are_refused(weights):
    with pytest.raises(ValueError, match=r"loss_weights was set to \[1.0, 0.0, 50.0, 3.0\]"):
        trained(ddb.Model, assign, loss_weights=weights)
    model = dde.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, verbose=0)
    with pytest.raises(ValueError, match="LossWeighting would not"):
        model.train(
            iterations=8, callbacks=[ddb.LossWeighting(weights), Each(3, assign)], verbose=0
        )


def test_loss_weights_that_do_not_fit_are_refused():
    def wrong(model):
        model.loss_weights = [1.0, 2.0]

    with pytest.raises(ValueError, match="loss_weights has 2 numbers, but there are 4 loss terms"):
        trained(ddb.Model, wrong, loss_weights=[1.0] * 4)


def with_source():
    """u_xx + u_yy = s, with s an auxiliary variable."""
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    return dde.data.PDE(
        geom,
        lambda x, u, s: scripts.laplace_residual(x, u) - s,
        [dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1], lambda _, on: on)],
        num_domain=30,
        num_boundary=24,
        auxiliary_var_function=lambda x: x[:, 0:1],
    )


def move_points(model):
    data = model.data
    data.train_x[sum(data.num_bcs) :] = 0.3


def change_source(model):
    model.data.train_aux_vars[:] = 50.0


@ENGINES
@pytest.mark.parametrize("change", [move_points, change_source])
def test_points_and_auxiliary_variables_changed_in_place(
    change, engine, float64, compilations, points_may_change_often
):
    stock = trained(dde.Model, change, with_source)
    ours = trained(ddb.Model, change, with_source, gradient_engine=engine)
    assert_same(stock, ours)
    assert ours.gradient_engine == engine  # and no number was taken to have changed


def test_boundary_points_changed_in_place_have_their_own_targets(float64):
    """DeepXDE keeps the old targets; here the loss is that of the new points, by hand."""
    for engine in ("one-pass", "per-group"):
        model = ddb.Model(scripts.laplace(), scripts.network())
        model.compile("adam", lr=1e-3, loss_weights="dn", gradient_engine=engine, verbose=0)
        model.train(iterations=1, verbose=0)
        points = model.data.train_x_bc
        model.data.train_x[: len(points)] = np.random.rand(*points.shape)
        model.train(iterations=1, verbose=0)
        moved = model.data.train_x[: len(points)]
        error = model.predict(moved) - moved[:, 0:1] * moved[:, 1:2]
        assert model.train_state.loss_train[1] == pytest.approx(np.mean(error**2))


class Interrupt(dde.callbacks.Callback):
    """Ctrl-C after an iteration."""

    def on_epoch_end(self):
        raise KeyboardInterrupt


def interrupted(weighting="db-mean"):
    model = dde.Model(scripts.klein_gordon(), scripts.network())
    model.compile("sgd", lr=1e-3, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        model.train(iterations=5, callbacks=[ddb.LossWeighting(weighting), Interrupt()], verbose=0)
    return model


@pytest.mark.parametrize("weighting", ["db-mean", "sa"])
def test_training_without_the_callback_after_an_interruption(weighting, float64):
    model = interrupted(weighting)
    plain = dde.Model(model.data, copy.deepcopy(model.net))
    plain.compile("sgd", lr=1e-3, verbose=0)
    for each in (model, plain):
        each.train(iterations=3, verbose=0)
    assert_same(plain, model, own_losses=False)


def test_another_callback_after_an_interruption():
    model = interrupted()
    again = ddb.LossWeighting("dn")
    model.train(iterations=2, callbacks=[again], verbose=0)
    assert again.weights["bc0"] != 1
    step = model.train_step
    model.train(iterations=1, verbose=0)
    assert model.train_step is step  # DeepXDE's


def test_a_later_phase_with_more_terms():
    """Weights that let a condition go are warned about by the records of that phase alone."""
    model = ddb.Model(scripts.laplace(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=[1.0, 1e-6], verbose=0)
    model.train(iterations=1, verbose=0)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1], lambda _, on: on)
    points = geom.random_points(5)
    model.data = scripts.laplace(geom, [bc, dde.icbc.PointSetBC(points, points[:, 0:1])])
    weighting = ddb.DN(scale={"bc0": 1e4, "data1": 1e4})
    with pytest.warns(UserWarning, match="other static factors"):
        model.compile("sgd", lr=1e-9, loss_weights=weighting, verbose=0)
    with pytest.warns(UserWarning, match="'bc0', 'data1' stays below 1"):
        model.train(iterations=700, display_every=100, verbose=0)


def test_another_loss_history():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    model.train(iterations=2, verbose=0)
    model.losshistory = dde.model.LossHistory()
    model.train(iterations=2, verbose=0)
    assert len(model.losshistory.loss_weights) == len(model.losshistory.steps) == 2
    assert model.losshistory.loss_weights[-1] == model.weights


@pytest.mark.parametrize("before_the_model", [True, False])
def test_test_points_of_a_script_stay(before_the_model, float64):
    rng = np.random.default_rng(0)
    points = rng.random((40, 2))
    metrics = []
    for model_class in (dde.Model, ddb.Model):
        data = scripts.laplace(solution=lambda x: x[:, 0:1] * x[:, 1:2])
        model = None if before_the_model else model_class(data, scripts.network())
        data.test_x, data.test_y = points, data.soln(points)
        model = model or model_class(data, scripts.network())
        model.compile("adam", lr=1e-3, metrics=["l2 relative error"], verbose=0)
        model.train(iterations=3, verbose=0)
        assert model.train_state.X_test is points
        metrics.append(model.losshistory.metrics_test)
    np.testing.assert_allclose(metrics[0], metrics[1], rtol=1e-10)


def test_noise_in_a_target_is_drawn_once(float64):
    """Also where there are unknowns, which targets might depend on."""
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    noisy = dde.icbc.DirichletBC(
        geom, lambda x: x[:, 0:1] + np.random.randn(len(x), 1), lambda _, on: on
    )
    model = ddb.Model(scripts.laplace(geom, [noisy]), scripts.network())
    unknown = dde.Variable(1.0)
    state = np.random.get_state(legacy=False)["state"]["key"].copy()
    model.compile(
        "sgd", lr=1e-15, loss_weights=[1, 1], external_trainable_variables=unknown, verbose=0
    )
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], state)
    with pytest.warns(UserWarning, match="draws random numbers"):
        model.train(iterations=4, display_every=1, verbose=0)
    losses = [record[1] for record in model.losshistory.loss_train]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-9)


@pytest.mark.parametrize("weights", [None, "gw-mean"])
def test_a_frozen_network_with_an_unknown(weights, float64):
    """Only c is trained, by hand: d/dc mean((u - c x)^2) = mean(-2 x (u - c x)), at weight 1.

    Stock DeepXDE is no oracle: its records make frozen parameters trainable.
    """
    unknown = dde.Variable(2.0)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.OperatorBC(geom, lambda x, u, _: u - unknown * x[:, 0:1], lambda _, on: on)
    net = scripts.network()
    net.requires_grad_(False)
    model = ddb.Model(scripts.laplace(geom, [bc]), net)
    model.compile(
        torch.optim.SGD([unknown], lr=1e-2),
        loss_weights=weights,
        external_trainable_variables=unknown,
        verbose=0,
    )
    x, c = model.data.train_x_bc[:, 0:1], 2.0
    u = model.predict(model.data.train_x_bc)
    for _ in range(3):
        c -= 1e-2 * np.mean(-2 * x * (u - c * x))
    if weights is None:
        model.train(iterations=3, verbose=0)
    else:
        with pytest.warns(UserWarning, match="was left as it was in at least one"):
            model.train(iterations=3, verbose=0)
    assert model.gradient_engine == "one-pass"
    assert unknown.item() == pytest.approx(c, rel=1e-10)


def another_condition(model):
    """An observation of the slope takes the place of a Dirichlet condition."""
    model.data.bcs[0] = dde.icbc.OperatorBC(
        model.data.geom,
        lambda x, u, _: dde.grad.jacobian(u, x, j=0) - 0.3 * x[:, 1:],
        model.data.bcs[0].on_boundary,
    )


KINDS: list[dict[str, Any]] = [
    {"gradient_engine": "one-pass"},
    {"gradient_engine": "per-group"},
    {"gradient_engine": "fastest"},
    {"points_per_pass": 20},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_another_condition_in_the_place_of_one(kind, float64, compilations, compiling_pays):
    stock = trained(dde.Model, another_condition)
    ours = trained(ddb.Model, another_condition, **kind)
    assert_same(stock, ours)


def trained_twice(model_class, read, callbacks=(), **compile_args):
    """Before the second training, the residual comes to read something else at the same points."""
    net: Any = scripts.network()
    also: list[Any] = []

    def residual(x, u):
        return sum((reads(net, x, u) for reads in also), scripts.klein_gordon_residual(x, u))

    model = model_class(scripts.klein_gordon(pde=residual), net)
    model.compile("adam", lr=1e-2, verbose=0, **compile_args)
    model.train(iterations=5, verbose=0, callbacks=list(callbacks))
    also.append(read)
    model.train(iterations=5, verbose=0, callbacks=list(callbacks))
    return model


READ = pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda net, x, u: net(1 - x), id="the network elsewhere"),
        pytest.param(lambda net, x, u: u.square().mean(), id="all points"),
    ],
)


@READ
@pytest.mark.parametrize("engine", [None, "compiled", "fastest"])
@pytest.mark.filterwarnings("ignore:gradient_engine=.compiled. can't be used here")
def test_a_residual_that_is_another_one_in_a_later_training(
    read, engine, float64, compilations, compiling_pays
):
    stock = trained_twice(dde.Model, read)
    with pytest.warns(UserWarning, match="each group takes a backward of its own"):
        ours = trained_twice(ddb.Model, read, gradient_engine=engine)
    assert ours.gradient_engine == "per-group"
    assert_same(stock, ours)


@READ
def test_such_a_residual_with_the_callback(read, float64):
    stock = trained_twice(dde.Model, read)
    callback = ddb.LossWeighting("equal")
    with pytest.warns(UserWarning, match="each group takes a backward of its own"):
        ours = trained_twice(dde.Model, read, callbacks=[callback])
    assert_same(stock, ours)


def test_such_a_residual_in_passes(float64):
    with pytest.raises(RuntimeError, match="points_per_pass=20 can't be used here"):
        trained_twice(ddb.Model, lambda net, x, u: net(1 - x), points_per_pass=20)
