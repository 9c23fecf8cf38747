"""Static factors are in the recorded losses: the best step and callbacks judge by like units."""

import warnings

import deepxde as dde
import numpy as np
import pytest
import torch

import deepxde_balance as ddb


def problem(large=1e5):
    """u'' = 0 in units of 1e-10 (squared), and a value of 1 at both ends, beside a tiny one."""
    geom = dde.geometry.Interval(0, 1)

    def pde(x, u):
        return large * dde.grad.hessian(u, x)

    left = dde.icbc.DirichletBC(geom, lambda x: 1.0, lambda x, on: on and x[0] < 0.5)
    right = dde.icbc.DirichletBC(geom, lambda x: 0.0, lambda x, on: on and x[0] > 0.5)
    dde.config.set_random_seed(0)
    data = dde.data.PDE(geom, pde, [left, right], num_domain=20, num_boundary=2)
    return data, dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal")


SCALE = {"pde": 1e-10, "bc0": 4.0}


def losses_of(model):
    """The unweighted, unscaled losses, in plain autograd."""
    x = torch.tensor(model.data.train_x, dtype=torch.get_default_dtype(), requires_grad=True)
    u = model.net(x)
    (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (ddu,) = torch.autograd.grad(du.sum(), x)
    return np.array(
        [
            ((1e5 * ddu[2:]) ** 2).mean().item(),
            ((u[0] - 1) ** 2).mean().item(),
            (u[1] ** 2).mean().item(),
        ]
    )


def trained(how, **compiled):
    data, net = problem()
    if how == "model":
        model, callbacks = ddb.Model(data, net), []
        model.compile("adam", lr=1e-3, verbose=0, **compiled)
    else:
        model = dde.Model(data, net)
        model.compile("adam", lr=1e-3, verbose=0)
        callbacks = [ddb.LossWeighting(compiled["loss_weights"])]
    model.train(iterations=3, display_every=1, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize("how", ["model", "callback"])
def test_recorded_losses_have_the_factors(how, float64):
    model = trained(how, loss_weights=ddb.DN(scale=SCALE))
    expected = losses_of(model) * [1e-10, 4, 1]
    np.testing.assert_allclose(model.losshistory.loss_train[-1], expected, rtol=1e-8)
    np.testing.assert_allclose(model.losshistory.loss_test[-1][1:], expected[1:], rtol=1e-8)
    assert [len(row) for row in model.losshistory.loss_train] == [3] * 4
    totals = [row.sum() for row in model.losshistory.loss_train]
    assert model.train_state.best_loss_train == min(totals)
    ratio = model.losshistory.loss_train[0][0] / model.losshistory.loss_train[-1][0]
    assert 0.1 < ratio < 10  # the first record, before `on_train_begin`, is in the same units


def test_the_best_step_is_judged_in_like_units():
    """Without the factor, the residual's 1e10 times larger unit decides alone."""

    class Steps(dde.callbacks.Callback):
        """Lets the conditions' losses fall and the residual rise, by the last layer's bias."""

        def on_batch_end(self):
            with torch.no_grad():
                self.model.net.linears[-1].bias.add_(0.1)
                self.model.net.linears[-1].weight.mul_(1.001)

    data, net = problem()
    with torch.no_grad():
        net.linears[-1].bias.fill_(-1.0)
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-9, loss_weights=ddb.DN(scale={"pde": 1e-10}), verbose=0)
    model.train(iterations=5, display_every=1, verbose=0, callbacks=[Steps()])
    history = np.array(model.losshistory.loss_train)
    assert history[-1][0] > history[0][0] and history[-1][1:].sum() < history[0][1:].sum()
    assert model.train_state.best_step == 5


def test_the_callback_leaves_the_stock_model_as_it_was():
    model = trained("callback", loss_weights=ddb.DN(scale=SCALE))
    scaled = model.losshistory.loss_train[-1]
    model.train(iterations=1, verbose=0)
    assert model.losshistory.loss_train[-2][0] == pytest.approx(scaled[0] * 1e10, rel=1e-4)


def test_kept_weights_keep_the_units():
    model = trained("model", loss_weights=ddb.DN(scale=SCALE))
    before = model.losshistory.loss_train[-1]
    best = model.train_state.best_loss_train
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    model.train(iterations=1, verbose=0)
    np.testing.assert_allclose(model.losshistory.loss_train[-2], before, rtol=1e-5)
    assert model.train_state.best_loss_train <= best


def test_other_factors_begin_the_best_step_afresh():
    model = trained("model", loss_weights=ddb.DN(scale=SCALE))
    with pytest.warns(UserWarning, match="other static factors.*1e-10, 4, 1; from now on none"):
        model.compile("adam", lr=1e-3, loss_weights="gw-std", verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.train_state.best_step >= 3  # although its loss is 1e10 times larger


def test_an_earlier_format_is_told(tmp_path):
    model = trained("model", loss_weights=ddb.DN(scale=SCALE))
    path = model.save(str(tmp_path / "model"))
    saved = torch.load(path, weights_only=True)
    saved["deepxde_balance"]["format"] = 5
    torch.save(saved, path)
    data, net = problem()
    other = ddb.Model(data, net)
    other.compile("adam", lr=1e-3, loss_weights=ddb.DN(scale=SCALE), verbose=0)
    with pytest.warns(UserWarning, match="without the factors of `scale`"):
        other.restore(path)
    assert other.train_state.best_loss_train == np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.train(iterations=1, verbose=0)
    assert other.train_state.best_step >= 3


def test_an_earlier_format_lets_callbacks_look_for_the_best_afresh(tmp_path):
    """The best loss so far, without the factors, is far below those to come."""

    def model():
        made = ddb.Model(*problem())
        made.compile("adam", lr=1e-3, loss_weights=ddb.DN(scale={"bc0": 1e6}), verbose=0)
        return made

    def train(made, iterations):
        saving = dde.callbacks.ModelCheckpoint(
            str(tmp_path / "model"), period=1, save_better_only=True
        )
        stopping = dde.callbacks.EarlyStopping(patience=1000)
        made.train(iterations=iterations, display_every=1, verbose=0, callbacks=[saving, stopping])
        return saving.best, stopping.best

    train(model(), 1)
    path = str(tmp_path / "model-1.pt")
    saved = torch.load(path, weights_only=True)
    ours = saved["deepxde_balance"]
    ours["format"] = 5
    for callback in ours["run"]["callbacks"]:
        assert "best" in callback["state"]
        callback["state"]["best"] = 1e-30
    torch.save(saved, path)
    other = model()
    with pytest.warns(UserWarning, match="that of callbacks, is looked for afresh"):
        other.restore(path)
    assert all(best > 1 for best in train(other, 2))
