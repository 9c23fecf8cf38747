"""The best step where weights change: records are compared at the weights of the later one."""

import os
import pickle
import re

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance.training.best_step import TrainState

# Rising drives on a condition that is met.
pytestmark = pytest.mark.filterwarnings("ignore:Rising")


class Rising(ddb.FromLosses):
    """The condition's weight is 1, then 10000."""

    def update(self, losses):
        self.weights = torch.full_like(losses, 1e4)
        self.weights[0] = 1.0


class Steps(dde.callbacks.Callback):
    """The residual's loss grows by a tenth in each iteration, more than the condition's falls."""

    def on_batch_begin(self):
        layer = self.model.net.linears[-1]
        with torch.no_grad():
            layer.weight.mul_(1.1**0.5)
            layer.bias.add_(0.1)


class Net(dde.nn.FNN):
    """u(x) = weight x^2 + bias: its loss terms are known."""

    def __init__(self, weight=1.0, bias=-1.0):
        super().__init__([1, 1], "tanh", "zeros")
        with torch.no_grad():
            self.linears[-1].weight.fill_(weight)
            self.linears[-1].bias.fill_(bias)

    def forward(self, inputs):
        return self.linears[-1](inputs**2)


def problem():
    """u'' = 0, u(0) = 1: the losses of `Net` are 4 weight^2 and (bias - 1)^2."""
    geom = dde.geometry.Interval(0, 1)
    left = dde.icbc.DirichletBC(geom, lambda x: 1.0, lambda x, on: on and x[0] < 0.5)
    return dde.data.PDE(geom, lambda x, u: dde.grad.hessian(u, x), [left], 5, 2)


def train(how="model", weighting=None, callbacks=(), iterations=5, display_every=1, lr=1e-9):
    model = ddb.Model(problem(), Net()) if how == "model" else dde.Model(problem(), Net())
    callbacks = [Steps(), *callbacks]
    if how == "model":
        model.compile("adam", lr=lr, loss_weights=weighting or Rising(), verbose=0)
    else:
        model.compile("adam", lr=lr, verbose=0)
        callbacks.insert(0, ddb.LossWeighting(weighting or Rising()))
    model.train(iterations=iterations, display_every=display_every, callbacks=callbacks, verbose=0)
    return model


@pytest.mark.parametrize(
    "losses, weights, better",
    [
        # The weighted sums are 12.5 and 11, though that of the losses is lower: 0.62 and 1.1.
        ([0.5, 0.12], [1.0, 100.0], False),
        # 3 and 11, though the sum is higher: 2.01 and 1.1.
        ([2.0, 0.01], [1.0, 100.0], True),
        ([2.0, 0.01], None, False),
        ([0.5, 0.12], None, True),
        ([1.0, 0.1], [1.0, 100.0], False),
        ([0.0, 0.0], [1.0, 100.0], True),
        ([np.nan, 0.01], [1.0, 100.0], False),
    ],
)
def test_two_records_by_hand(losses, weights, better):
    state = TrainState()
    state.loss_train = state.loss_test = np.array([1.0, 0.1])
    state.update_best()
    assert (state.best_step, state.best_loss_train) == (0, 1.1)
    state.step, state.loss_train = 7, np.array(losses)
    state.record_weights = None if weights is None else np.array(weights)
    state.update_best()
    assert state.best_step == (7 if better else 0)
    state.disregard_best()
    state.update_best()
    assert state.best_step == (0 if np.isnan(losses).any() else 7)


@pytest.mark.parametrize("how", ["model", "callback"])
def test_the_best_step_is_the_lowest_at_the_present_weights(how, float64):
    """The sum of the losses rises from 8 to 8.7; weighted, it falls from 40000 to 22500."""
    state = train(how).train_state
    history = np.array([4 * 1.1**k + (2 - 0.1 * k) ** 2 for k in range(6)])
    np.testing.assert_allclose(state.loss_train.sum(), history[-1], rtol=1e-5)
    assert history.argmin() == 0
    assert state.best_step == 5
    np.testing.assert_allclose(state.best_loss_train, history[-1], rtol=1e-5)
    assert state.best_y is state.y_pred_test


def test_where_a_term_rises_again_the_best_step_is_before(float64):
    """From step 20 on the bias is above 1, and the condition's loss rises."""
    model = train(iterations=30)
    losses = np.array(model.losshistory.loss_train)
    assert model.train_state.best_step == (losses @ [1, 1e4]).argmin() == 20


def test_a_list_of_numbers_is_judged_as_in_deepxde():
    """DeepXDE's losses have the numbers already."""
    model = train(weighting=[1.0, 1e4])
    assert model.train_state.best_step == 5
    assert train(weighting=[1.0, 1.0]).train_state.best_step == 0
    assert train(weighting="equal").train_state.best_step == 0


def test_weights_that_are_kept_go_on_to_judge():
    model = train()
    model.compile("adam", lr=1e-9, loss_weights="keep", verbose=0)
    model.train(iterations=2, display_every=1, callbacks=[Steps()], verbose=0)
    assert model.train_state.best_step == 7


def test_without_the_callback_a_stock_model_has_weight_1_again():
    model = train("callback")
    model.train(iterations=3, display_every=1, callbacks=[Steps()], verbose=0)
    assert model.train_state.best_step == 5
    model.train(iterations=1, disregard_previous_best=True, verbose=0)
    assert model.train_state.best_step == 8


@pytest.mark.parametrize("how", ["model", "callback"])
@pytest.mark.parametrize("monitor", ["train loss", "test loss"])
def test_a_checkpoint_of_the_best(how, monitor, tmp_path, capsys):
    saving = dde.callbacks.ModelCheckpoint(
        str(tmp_path / "best"), verbose=1, save_better_only=True, monitor=monitor
    )
    model = train(how, callbacks=[saving])
    saved = sorted(os.listdir(tmp_path))
    assert [name for name in saved if name.endswith(".pt")] == [f"best-{k}.pt" for k in range(1, 6)]
    state = model.train_state
    sums = {"train loss": state.loss_train.sum(), "test loss": state.loss_test.sum()}
    assert saving.best == pytest.approx(sums[monitor])
    told = re.findall(r"improved from (\S+) to (\S+),", capsys.readouterr().out)
    assert len(told) == 5 and all(float(before) > float(after) for before, after in told)


def test_a_record_is_judged_once(tmp_path):
    """The weights change between two records, the losses that are judged do not."""
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "best"), save_better_only=True)
    train(callbacks=[saving], iterations=9, display_every=4)
    steps = sorted(int(name[5:-3]) for name in os.listdir(tmp_path) if name.endswith(".pt"))
    assert steps == [1, 4, 8, 9]


@pytest.mark.parametrize("how", ["model", "callback"])
def test_early_stopping_waits_for_the_weighted_loss(how):
    """Judged by the sum, which rises, the training would end in iteration 3."""
    stopping = dde.callbacks.EarlyStopping(patience=3)
    assert train(how, callbacks=[stopping], iterations=30).train_state.step == 23
    assert train(how, callbacks=[stopping], iterations=30).train_state.step == 23  # used again
    baseline = dde.callbacks.EarlyStopping(patience=3, baseline=1e-9)
    assert train(how, callbacks=[baseline], iterations=30).train_state.step == 3


def test_a_callback_with_a_comparison_of_its_own_keeps_it():
    stopping = dde.callbacks.EarlyStopping(patience=3)
    stopping.monitor_op = np.greater_equal
    train(callbacks=[stopping])
    assert stopping.monitor_op is np.greater_equal


@pytest.mark.parametrize("saved_at", [6, 20, 22])
def test_a_resumed_run_judges_as_the_unbroken_one(saved_at, tmp_path):
    def run(folder, iterations, *more, resume=None):
        (tmp_path / folder).mkdir(exist_ok=True)
        best = dde.callbacks.ModelCheckpoint(
            str(tmp_path / folder / "best"), save_better_only=True, period=2
        )
        stopping = dde.callbacks.EarlyStopping(patience=4)
        model = ddb.Model(problem(), Net())
        model.compile("adam", lr=1e-9, loss_weights=Rising(), verbose=0)
        if resume:
            model.restore(resume)
        model.train(
            iterations=iterations - model.train_state.step,
            display_every=2,
            callbacks=[Steps(), stopping, best, *more],
            verbose=0,
        )
        state = model.train_state
        result = (state.step, state.best_step, state.best_loss_train, stopping.best, best.best)
        return result, sorted(os.listdir(tmp_path / folder))

    unbroken, files = run("unbroken", 40)
    assert unbroken[:2] == (24, 20)
    run("broken", saved_at, dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=saved_at))
    resumed, same_files = run("broken", 40, resume=str(tmp_path / f"run-{saved_at}.pt"))
    assert (resumed, same_files) == (unbroken, files)


def test_a_checkpoint_of_format_8(tmp_path):
    """It lacks the losses at the best step, which are in its history."""
    model = train()
    expected = model.train_state.losses_at_best
    path = model.save(str(tmp_path / "run"))
    content = torch.load(path, weights_only=True)
    content["deepxde_balance"]["format"] = 8
    for name in ("losses_at_best", "record_weights"):
        del content["deepxde_balance"]["run"]["train_state"][name]
    torch.save(content, path)
    model.train_state.losses_at_best = None
    model.restore(path)
    assert np.array_equal(model.train_state.losses_at_best, expected)
    model.train(iterations=2, display_every=1, callbacks=[Steps()], verbose=0)
    assert model.train_state.best_step == 7


def test_an_l1_regularization_counts_once():
    net = scripts.network()
    net.regularizer = ("l1", 1e-3)
    model = ddb.Model(scripts.klein_gordon(), net)
    model.compile("adam", lr=1e-2, loss_weights=ddb.DN(update_every=2), verbose=0)
    model.train(iterations=6, display_every=1, verbose=0)
    losses = np.array(model.losshistory.loss_train)
    weights = [[*of.values(), 1.0] for of in model.losshistory.loss_weights]
    best = 0
    for k in range(1, 7):
        if np.dot(weights[k], losses[k]) < np.dot(weights[k], losses[best]):
            best = k
    assert losses.shape[1] == 5 and model.train_state.best_step == best


@pytest.mark.parametrize("how", ["model", "callback"])
def test_the_state_is_still_the_one_that_a_script_holds_and_pickles(how):
    model = ddb.Model(problem(), Net()) if how == "model" else dde.Model(problem(), Net())
    state, callbacks = model.train_state, [Steps()]
    if how == "model":
        model.compile("adam", lr=1e-9, loss_weights=Rising(), verbose=0)
    else:
        model.compile("adam", lr=1e-9, verbose=0)
        callbacks.append(ddb.LossWeighting(Rising()))
    model.train(iterations=3, display_every=1, callbacks=callbacks, verbose=0)
    assert model.train_state is state and state.best_step == 3
    assert pickle.loads(pickle.dumps(state)).best_step == 3


def test_one_callback_for_two_models():
    """The second model's first record has the weights 1, the first one's later records, too."""
    weighting = ddb.LossWeighting(Rising())
    models = [dde.Model(problem(), Net()) for _ in range(2)]
    for model in models:
        model.compile("adam", lr=1e-9, verbose=0)
        model.train(iterations=3, display_every=1, callbacks=[Steps()], verbose=0)
        assert model.train_state.best_step == 0
        model.train(iterations=0, callbacks=[weighting], verbose=0)
        assert model.train_state.best_step == 0
        model.train(iterations=3, display_every=1, callbacks=[weighting, Steps()], verbose=0)
        assert model.train_state.best_step == 6
    models[0].train(iterations=3, display_every=1, callbacks=[Steps()], verbose=0)
    assert models[0].train_state.best_step == 6


@pytest.mark.filterwarnings("ignore:.* drives on")
def test_a_record_of_many_terms_is_taken_once(tmp_path):
    """NumPy and Python add eight numbers or more in other orders."""
    geom = dde.geometry.Interval(0, 1)
    points = np.linspace(0, 1, 12)[:, None]
    values = [dde.icbc.PointSetBC(points[k : k + 1], np.cos(9.1 * points[k])) for k in range(12)]
    dde.config.set_random_seed(0)
    data = dde.data.PDE(geom, lambda x, u: dde.grad.hessian(u, x) + 9, values, 20, 2)
    model = ddb.Model(data, dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-2, loss_weights=ddb.DN(update_every=1), verbose=0)
    best = dde.callbacks.ModelCheckpoint(str(tmp_path / "best"), save_better_only=True)
    stopping = dde.callbacks.EarlyStopping(patience=15)
    model.train(iterations=80, display_every=20, callbacks=[best, stopping], verbose=0)
    assert model.train_state.step == 16  # between two records nothing gets better
    model.train(iterations=80, display_every=20, callbacks=[best], verbose=0)
    steps = {int(name[5:-3]) for name in os.listdir(tmp_path) if name.endswith(".pt")}
    assert len(steps) > 3 and steps <= {1, 17, 20, 40, 60, 80, 96}


def test_a_callback_that_monitors_something_else_is_left_alone():
    class Metric(dde.callbacks.EarlyStopping):
        def get_monitor_value(self):
            return -self.model.train_state.step

    stopping = Metric(patience=3)
    assert train(callbacks=[stopping], iterations=20).train_state.step == 20
    assert stopping.monitor_op is np.less


def test_a_method_with_negative_weights_is_judged_by_the_sum():
    """A lower weighted loss may then be a larger loss."""

    class Negative(Rising):
        may_be_negative = True

        def update(self, losses):
            self.weights = torch.tensor([1.0, 1e4 if self.iteration % 2 else -1e4])

    assert train(weighting=Negative()).train_state.best_step == 0
