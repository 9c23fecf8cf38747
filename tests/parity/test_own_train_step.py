"""Scripts with a `train_step` of their own: it trains, or what it would lose is refused."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb


def data(points):
    """u'' = -1 with u = 0 at both ends."""
    geom = dde.geometry.Interval(0, 1)
    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda x, on: on)
    return dde.data.PDE(geom, lambda x, u: dde.grad.hessian(u, x) + 1, bc, points, 2)


def network():
    dde.config.set_random_seed(1)
    return dde.nn.FNN([1, 10, 1], "tanh", "Glorot uniform")


def own_step(model):
    """A step that squares the boundary's loss, which DeepXDE's does not."""

    def train_step(inputs, targets, auxiliary_vars):
        def closure():
            losses = model.outputs_losses_train(inputs, targets, auxiliary_vars)[1]
            total = losses[0] + losses[1] ** 2
            model.opt.zero_grad()
            total.backward()
            return total

        model.opt.step(closure)

    return train_step


def with_own_step(base):
    class Own(base):  # type: ignore[misc, valid-type]
        def _compile_pytorch(self, lr, loss_fn, decay):
            super()._compile_pytorch(lr, loss_fn, decay)
            self.train_step = own_step(self)

    return Own


@pytest.mark.parametrize("points", [30, 400])
@pytest.mark.parametrize("loss_weights", [None, "equal", [1, 7]])
@pytest.mark.parametrize("of_class", [True, False])
def test_it_trains_as_in_deepxde(points, loss_weights, of_class, float64):
    parameters, histories = [], []
    for base in (dde.Model, ddb.Model):
        model = (with_own_step(base) if of_class else base)(data(points), network())
        plain = base is dde.Model and loss_weights == "equal"
        weights = None if plain else loss_weights
        for _ in range(2):
            model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
            if not of_class:
                model.train_step = own_step(model)
            history, _ = model.train(iterations=5, display_every=2, verbose=0)
        parameters.append(scripts.parameters_of(model))
        histories.append(torch.as_tensor(np.array(history.loss_train)))
    assert torch.equal(*parameters)
    assert torch.equal(*histories)


@pytest.mark.parametrize(
    "given, lost",
    [
        ({"loss_weights": "auto"}, "the weights of 'auto'"),
        ({"loss_weights": [1, 2], "point_weights": "rba"}, "the point weights"),
        ({"gradient_engine": "one-pass"}, "gradient_engine='one-pass'"),
    ],
)
def test_what_it_would_lose_is_refused_at_compile(given, lost):
    model = with_own_step(ddb.Model)(data(30), network())
    with pytest.raises(ValueError, match=f"Own makes a `train_step` .*: {lost} would have no"):
        model.compile("adam", lr=1e-2, verbose=0, **given)
    assert model.train_step is None


@pytest.mark.parametrize("before", [0, 3])
def test_one_that_replaces_a_strategy_is_refused_in_the_first_iteration(before):
    model = ddb.Model(data(30), network())
    model.compile("adam", lr=1e-2, loss_weights="auto", verbose=0)
    if before:
        model.train(iterations=before, verbose=0)
    model.train_step = own_step(model)
    with pytest.raises(RuntimeError, match="the weights of 'auto' would have no effect"):
        model.train(iterations=5, verbose=0)
    assert model.train_state.step == before


@pytest.mark.parametrize("points", [30, 400])
@pytest.mark.parametrize("strategy", [None, ddb.GW("mean", update_every=2)])
def test_one_that_calls_the_replaced_one_trains_with_the_strategy(strategy, points, float64):
    parameters = []
    for wrapped in (False, True):
        model = ddb.Model(data(points), network())
        model.compile("adam", lr=1e-2, loss_weights=strategy, verbose=0)
        step, made = model.train_step, list[None]()

        def counted(*batch, made=made, step=step):
            made.append(step(*batch))

        if wrapped:
            model.train_step = counted
        model.train(iterations=5, verbose=0)
        assert len(made) == 5 * wrapped
        assert (model.weights["bc0"] == 1) == (strategy is None)
        parameters.append(scripts.parameters_of(model))
    assert torch.equal(*parameters)


def test_the_callback_refuses_it():
    model = with_own_step(dde.Model)(data(30), network())
    model.compile("adam", lr=1e-2, verbose=0)
    with pytest.raises(ValueError, match="one of the script's own"):
        model.train(iterations=2, callbacks=[ddb.LossWeighting("auto")], verbose=0)


@pytest.mark.parametrize("before", [None, [1, 10]])
@pytest.mark.parametrize("wraps", [True, False])
def test_numbers_that_a_callback_sets(before, wraps, float64):
    """The function goes on training, with the new numbers."""

    class Set(dde.callbacks.Callback):
        def on_epoch_end(self):
            if self.model.train_state.step == 3:
                self.model.loss_weights = [1, 20]

    parameters, calls = [], []
    for base in (dde.Model, ddb.Model):
        model = base(data(400), network())
        model.compile("adam", lr=1e-2, loss_weights=before, verbose=0)
        step, made = model.train_step if wraps else own_step(model), list[None]()

        def counted(*batch, made=made, step=step):
            made.append(step(*batch))

        model.train_step = counted
        model.train(iterations=8, callbacks=[Set()], verbose=0)
        calls.append(len(made))
        parameters.append(scripts.parameters_of(model))
    assert calls == [8, 8]
    torch.testing.assert_close(*parameters, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("of_class", [True, False])
def test_its_numbers_are_saved_and_kept(of_class, tmp_path):
    def compiled():
        model = (with_own_step(ddb.Model) if of_class else ddb.Model)(data(400), network())
        model.compile("adam", lr=1e-2, loss_weights=[1, 7], verbose=0)
        if not of_class:
            model.train_step = own_step(model)
        return model

    model = compiled()
    model.train(iterations=4, verbose=0)
    resumed = compiled()
    resumed.restore(model.save(str(tmp_path / "model")))
    for one in (model, resumed):
        one.train(iterations=3, verbose=0)
        assert one.weights == {"pde": 1, "bc0": 7}
    assert torch.equal(scripts.parameters_of(model), scripts.parameters_of(resumed))
    if not of_class:
        model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
        assert model.weights == {"pde": 1, "bc0": 7}
