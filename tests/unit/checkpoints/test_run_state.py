"""What a resumed run goes on from: counters, callbacks, random states, points and buffers."""

import os

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.operators import operator
from _support.resumed import (
    assert_same,
    broken_and_unbroken,
    compiled,
    everything,
    pseudo_random,
    resampler,
    strategy,
)
from _support.scripts import laplace, parameters_of

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


def test_early_stopping_and_best_go_on(tmp_path):
    """EarlyStopping counts on: with patience 20 both runs stop at the same iteration."""

    def run(*more, resume=None):
        model = compiled("db-mean", lr=0.5, decay=None)
        if resume is not None:
            model.restore(str(resume))
        model.train(
            iterations=200 - model.train_state.step,
            display_every=2,
            callbacks=[dde.callbacks.EarlyStopping(patience=20), *more],
            verbose=0,
        )
        return model

    unbroken = run()
    stopped = unbroken.train_state.step
    assert 20 < stopped < 200
    saved_at = stopped - 5
    run(dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=saved_at))
    resumed = run(resume=tmp_path / f"run-{saved_at}.pt")
    assert resumed.train_state.step == stopped
    assert resumed.train_state.best_step == unbroken.train_state.best_step


@pytest.mark.parametrize("resampled_every, stop", [(5, 5), (4, 8), (6, 17)])
@pytest.mark.parametrize("name", ["sa", "db-norm"])
def test_resumed_at_a_resample(name, resampled_every, stop, tmp_path):
    def make():
        return compiled(strategy(name), data=pseudo_random())

    def callbacks():
        return [dde.callbacks.PDEPointResampler(period=resampled_every, bc_points=True)]

    assert_same(*broken_and_unbroken(make, callbacks, tmp_path, stop=stop))


@pytest.mark.parametrize("name", ["sa", "db-mean", "uw"])
def test_a_model_goes_back_to_its_checkpoint(name, tmp_path):
    model = compiled(strategy(name), data=pseudo_random())
    model.train(iterations=6, callbacks=resampler(), verbose=0)
    path = model.save(str(tmp_path / "run"))
    model.train(iterations=9, callbacks=resampler(), verbose=0)
    expected = everything(model)
    model.restore(path)
    assert model.train_state.step == 6
    model.train(iterations=9, callbacks=resampler(), verbose=0)
    assert_same(expected, everything(model))


def test_between_two_trains_the_second_begins_as_ever(tmp_path):
    """EarlyStopping starts to count afresh in each train, also after a restore."""

    def stopping():
        return [dde.callbacks.EarlyStopping(patience=3)]

    def first():
        model = compiled("db-mean", lr=0.5, decay=None)
        model.train(iterations=6, callbacks=stopping(), verbose=0)
        return model

    unbroken = first()
    unbroken.train(iterations=20, callbacks=stopping(), verbose=0)
    path = first().save(str(tmp_path / "run"))
    resumed = compiled("db-mean", lr=0.5, decay=None)
    resumed.restore(path)
    resumed.train(iterations=20, callbacks=stopping(), verbose=0)
    assert resumed.train_state.step == unbroken.train_state.step


# Derivatives through a batch's normalization nearly cancel, so that the residual is tiny.
@pytest.mark.filterwarnings("ignore:Terms seem to be in other units")
@pytest.mark.skipif(
    torch.__version__ >= "2.14", reason="batch_norm of PyTorch 2.14 has no third derivatives"
)
def test_buffers_of_the_network_are_those_of_the_unbroken_run(tmp_path):
    class Normalized(torch.nn.Module):
        regularizer = None
        auxiliary_vars = None

        def __init__(self):
            super().__init__()
            dde.config.set_random_seed(0)
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(2, 8),
                torch.nn.BatchNorm1d(8),
                torch.nn.Tanh(),
                torch.nn.Linear(8, 1),
            )

        def forward(self, x):
            return self.layers(x)

    models = []

    def make():
        models.append(compiled("db-norm", data=pseudo_random(), net=Normalized()))
        return models[-1]

    expected, found = broken_and_unbroken(make, lambda: [], tmp_path)
    assert_same(expected["parameters"], found["parameters"])
    for a, b in zip(models[0].net.buffers(), models[2].net.buffers(), strict=True):
        assert torch.equal(a, b)


def test_other_numbers_of_points_are_told(tmp_path):
    path = compiled(data=laplace(num_domain=40), weights="dn").save(str(tmp_path / "run"))
    model = compiled(data=laplace(num_domain=80), weights="dn")
    with pytest.warns(UserWarning, match=r"training points, of shape \(88, 2\), replace"):
        model.restore(path)


def test_a_callback_whose_state_cannot_be_saved(tmp_path):
    class Odd(dde.callbacks.Callback):
        def state_dict(self):
            return {"where": tmp_path}

    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=1)
    with pytest.raises(TypeError, match="state_dict of the callback Odd can't be saved"):
        compiled().train(iterations=2, callbacks=[Odd(), saving], verbose=0)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".pt")]


class SaveAndStop(dde.callbacks.Callback):
    """The end of a time limit."""

    def __init__(self, iteration, path):
        super().__init__()
        self.iteration, self.path = iteration, path

    def on_epoch_end(self):
        if self.model.train_state.iteration == self.iteration:
            self.model.stop_training = True
            self.model.save(self.path)


@pytest.mark.parametrize("weights", [None, "db-mean"])
def test_a_run_that_was_stopped_goes_on(weights, tmp_path):
    def made():
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
        return model

    unbroken, first, second = made(), made(), made()
    unbroken.train(iterations=9, display_every=4, verbose=0)
    saving = SaveAndStop(3, str(tmp_path / "run"))
    first.train(iterations=9, display_every=4, callbacks=[saving], verbose=0)
    assert first.train_state.step == 3
    second.restore(str(tmp_path / "run-3.pt"))
    second.train(iterations=6, display_every=4, verbose=0)
    assert second.losshistory.steps == unbroken.losshistory.steps
    assert torch.equal(scripts.parameters_of(second), scripts.parameters_of(unbroken))


def fractional(seed, distribution="pseudo"):
    """(-Delta)^0.9 u = f on a disk, with collocation points drawn at random."""
    dde.config.set_random_seed(seed)
    disk = dde.geometry.Disk([0, 0], 1)

    def residual(x, u, matrix):
        indices, values = matrix[0], matrix[1]
        matrix = torch.sparse_coo_tensor(
            torch.as_tensor(np.array(indices).T),
            torch.as_tensor(values),
            tuple(matrix[2]),
            check_invariants=False,
        )
        return torch.sparse.mm(matrix, u)[: len(x)] - 1

    bc = dde.icbc.DirichletBC(disk, lambda x: np.zeros((len(x), 1)), lambda _, on: on)
    data = dde.data.FPDE(
        disk,
        residual,
        1.8,
        bc,
        [4, 10],
        num_domain=8,
        num_boundary=2,
        train_distribution=distribution,
    )
    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="equal", verbose=0)
    return model


def test_fractional_points_stay_with_their_matrix(tmp_path):
    first = fractional(seed=1)
    first.train(iterations=2, verbose=0)
    path = first.save(str(tmp_path / "run"))
    second = fractional(seed=2)
    points = second.data.train_x
    with pytest.warns(UserWarning, match="training points are not put back"):
        second.restore(path)
    assert second.data.train_x is points
    second.train(iterations=2, verbose=0)
    same = fractional(seed=1)
    same.restore(path)  # and nothing is warned about


@pytest.mark.parametrize("cartesian", [True, False])
def test_the_functions_of_an_operator_are_put_back(cartesian, tmp_path):
    unbroken = operator(1, cartesian)
    unbroken.train(iterations=3, verbose=0)
    path = unbroken.save(str(tmp_path / "run"))
    unbroken.train(iterations=3, verbose=0)
    resumed = operator(2, cartesian)
    resumed.restore(path)
    resumed.train(iterations=3, verbose=0)
    assert torch.equal(scripts.parameters_of(resumed), scripts.parameters_of(unbroken))
    assert np.array_equal(resumed.data.pde.train_x, unbroken.data.pde.train_x)


def test_own_test_points_and_resampled_ones_after_restoring(tmp_path):
    """Test points that are DeepXDE's go on following the conditions' points; a script's stay."""
    for own in (False, True):
        models = []
        for _ in range(2):
            data = scripts.laplace(train_distribution="pseudo")
            if own:
                data.test_x = np.random.rand(40, 2).astype(np.float32)
            models.append(ddb.Model(data, scripts.network()))
            models[-1].compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
        first, second = models
        first.train(iterations=1, verbose=0)
        first.data.resample_train_points(bc_points=True)
        path = first.save(str(tmp_path / "run"))
        points = first.data.test_x
        second.restore(path)
        second.train(iterations=1, verbose=0)
        conditions = second.data.train_x_bc
        assert np.array_equal(conditions, first.data.train_x_bc)
        follows = np.array_equal(second.data.test_x[: len(conditions)], conditions)
        assert follows != own
        assert np.array_equal(second.data.test_x, points) == own


def test_a_saver_of_better_models_goes_on_with_the_loss_of_its_last(tmp_path):
    """DeepXDE's callback notes the loss that it saves at after it has saved."""
    saver = dde.callbacks.ModelCheckpoint(str(tmp_path / "a"), period=2, save_better_only=True)
    compiled("dn").train(iterations=2, display_every=1, callbacks=[saver], verbose=0)
    assert np.isfinite(saver.best)
    again = dde.callbacks.ModelCheckpoint(str(tmp_path / "b"), period=99, save_better_only=True)
    second = compiled("dn")
    second.restore(str(tmp_path / "a-2.pt"))
    second.train(iterations=1, callbacks=[again], verbose=0)
    assert again.best == saver.best


class Weigh(dde.callbacks.Callback):
    """A schedule: other numbers as weights at the end of iteration 10."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place

    def on_epoch_end(self):
        if self.model.train_state.step != 10:
            return
        if self.in_place:
            self.model.loss_weights[1] = 50.0
        else:
            self.model.loss_weights = [1.0, 50.0, 10.0, 10.0]


@pytest.mark.parametrize("stop", [10, 17])
@pytest.mark.parametrize("in_place", [True, False])
def test_numbers_that_a_script_has_assigned(in_place, stop, tmp_path):
    expected, resumed = broken_and_unbroken(
        lambda: compiled([1.0, 10.0, 10.0, 10.0]), lambda: [Weigh(in_place)], tmp_path, stop=stop
    )
    assert expected["weights"]["bc0"] == 50.0
    assert_same(expected, resumed)


class Assign(dde.callbacks.Callback):
    """A schedule: numbers or ``None`` as weights at the end of iteration 10."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers = numbers

    def on_epoch_end(self):
        if self.model.train_state.step == 10:
            self.model.loss_weights = self.numbers


@pytest.mark.parametrize(
    "given, assigned",
    [(None, [1.0, 50.0, 10.0, 10.0]), ([1.0, 50.0, 10.0, 10.0], None)],
    ids=["numbers", "none"],
)
def test_numbers_in_the_place_of_none_and_none_in_the_place_of_numbers(given, assigned, tmp_path):
    expected, resumed = broken_and_unbroken(
        lambda: compiled(given), lambda: [Assign(assigned)], tmp_path, stop=17
    )
    assert expected["weights"]["bc0"] == (50.0 if assigned else 1.0)
    assert_same(expected, resumed)


@pytest.mark.parametrize("given, other", [(None, [1.0] * 4), ([1.0] * 4, None)])
def test_numbers_that_compile_was_given_are_no_assigned_ones(given, other, tmp_path):
    path = compiled(given).save(str(tmp_path / "run"))
    with pytest.raises(ddb.CheckpointError, match=r"its strategy is (Equal|Fixed), the model's"):
        compiled(other).restore(path)


def test_a_list_that_the_script_changes_goes_on_to_be_the_weights(tmp_path):
    numbers = [1.0, 10.0, 10.0, 10.0]
    first = compiled(numbers)
    numbers[1] = 50.0
    path, again = first.save(str(tmp_path / "run")), [1.0, 10.0, 10.0, 10.0]
    second = compiled(again)
    second.restore(path)
    assert list(second.weights.values()) == again == numbers
    again[2] = 7.0
    assert list(second.weights.values()) == [1.0, 50.0, 7.0, 10.0]


def test_a_model_goes_back_to_the_numbers_before_a_change(tmp_path):
    model = compiled([1.0, 10.0, 10.0, 10.0])
    path = model.save(str(tmp_path / "run"))
    model.loss_weights = [1.0, 50.0, 10.0, 10.0]
    model.restore(path)
    assert list(model.weights.values()) == [1.0, 10.0, 10.0, 10.0]


def test_other_numbers_given_to_compile_stay(tmp_path):
    first = compiled([1.0, 10.0, 10.0, 10.0])
    first.loss_weights = [1.0, 50.0, 10.0, 10.0]
    path, second = first.save(str(tmp_path / "run")), compiled([1.0, 2.0, 3.0, 4.0])
    second.restore(path)
    assert list(second.weights.values()) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("first", ["all", "best"])
@pytest.mark.parametrize("saved_at", [4, 7, 9])
@pytest.mark.parametrize("name", ["equal", "dn"])
def test_two_savers_each_go_on_as_in_the_unbroken_run(name, first, saved_at, tmp_path):
    """With such a learning rate, the loss that a saver sees is not always its best."""

    def run(folder, *more, resume=None):
        (tmp_path / folder).mkdir(exist_ok=True)
        savers = {
            "all": dde.callbacks.ModelCheckpoint(str(tmp_path / folder / "all"), period=saved_at),
            "best": dde.callbacks.ModelCheckpoint(
                str(tmp_path / folder / "best"), period=3, save_better_only=True
            ),
        }
        in_order = [savers.pop(first), *savers.values(), *more]
        model = compiled(name if name == "equal" else strategy(name), lr=0.3, decay=None)
        if resume is not None:
            model.restore(str(resume))
        iterations = 40 - model.train_state.step
        model.train(iterations=iterations, display_every=1, callbacks=in_order, verbose=0)

    run("unbroken")
    with pytest.raises(KeyboardInterrupt):
        run("broken", KillBefore(saved_at + 1))
    run("broken", resume=tmp_path / "broken" / f"all-{saved_at}.pt")
    files = [sorted(os.listdir(tmp_path / folder)) for folder in ("unbroken", "broken")]
    assert 1 < sum(name.startswith("best-") for name in files[0]) < 13
    assert files[1] == files[0]


class KillBefore(dde.callbacks.Callback):
    """Ends everything, as Ctrl-C does, when that iteration begins."""

    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_epoch_begin(self):
        if self.model.train_state.iteration >= self.iteration - 1:
            raise KeyboardInterrupt


class Counter(dde.callbacks.Callback):
    """Counts iterations by a step of its own."""

    def __init__(self, step):
        super().__init__()
        self.step, self.count = step, 0

    def on_epoch_end(self):
        self.count += self.step

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def test_callbacks_of_one_class_each_go_on_with_their_own_state(tmp_path):
    saver = dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=3)
    compiled("dn").train(iterations=3, callbacks=[Counter(1), Counter(10), saver], verbose=0)
    second, counters = compiled("dn"), [Counter(1), Counter(10)]
    second.restore(str(tmp_path / "run-3.pt"))
    second.train(iterations=2, callbacks=counters, verbose=0)
    assert [counter.count for counter in counters] == [5, 50]


def test_a_run_that_early_stopping_has_ended_stays_ended(tmp_path):
    def made():
        return compiled("dn", lr=0.5, decay=None), dde.callbacks.EarlyStopping(patience=3)

    first, stopping = made()
    saver = dde.callbacks.ModelCheckpoint(str(tmp_path / "run"), period=1)
    first.train(iterations=99, display_every=1, callbacks=[saver, stopping], verbose=0)
    stopped = first.train_state.step
    assert 3 <= stopped < 99
    second, stopping = made()
    second.restore(str(tmp_path / f"run-{stopped}.pt"))
    second.train(iterations=9, display_every=1, callbacks=[stopping], verbose=0)
    assert second.train_state.step == stopped
    assert torch.equal(parameters_of(second), parameters_of(first))


def test_what_train_returned_stays_as_it_is(tmp_path):
    """A script that restores its best network plots the losses of the whole training then."""
    model = compiled("db-mean")
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "model"), period=5)
    history, state = model.train(iterations=12, display_every=3, callbacks=[saving], verbose=0)
    before = (list(history.steps), list(history.loss_weights), state.step, state.best_step)
    model.restore(str(tmp_path / "model-5.pt"))
    assert (history.steps, history.loss_weights, state.step, state.best_step) == before
    assert before[0] == [0, 3, 6, 9, 12]
    assert (model.losshistory.steps, model.train_state.step) == ([0, 3], 5)


def test_a_callback_that_restores_keeps_what_it_holds(tmp_path):
    class Back(dde.callbacks.Callback):
        def on_train_begin(self):
            self.state = self.model.train_state

        def on_epoch_end(self):
            if self.state.step == 8:
                self.model.restore(str(tmp_path / "model-5.pt"))
                assert self.state.step == 5
                self.model.stop_training = True

    model = compiled("db-mean")
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "model"), period=5)
    _, state = model.train(iterations=20, callbacks=[saving, Back()], verbose=0)
    assert state is model.train_state
    assert state.step == 5
