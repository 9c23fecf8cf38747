"""SaveOnSigterm after trainings that were interrupted, beside others, and at a training's end."""

import math
import os
import signal

import deepxde as dde
import pytest
import torch

import deepxde_balance as ddb


class Do(dde.callbacks.Callback):
    """Calls a function at the end of an iteration."""

    def __init__(self, step, function):
        super().__init__()
        self.step, self.function = step, function

    def on_batch_end(self):
        if self.model.train_state.step == self.step:
            self.function()


class SignalAfterTheLastIteration(dde.callbacks.ModelCheckpoint):
    def on_epoch_end(self):
        if self.model.train_state.step == 4:
            terminate()


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def model():
    dde.config.set_random_seed(0)
    data = dde.data.Function(dde.geometry.Interval(0, 1), lambda x: x**2, 10, 10)
    model = ddb.Model(data, dde.nn.FNN([1, 4, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, verbose=0)
    return model


@pytest.fixture
def ended():
    """A list that gets an entry where SIGTERM would have ended the process."""
    calls = []

    def on_signal(number, frame):
        calls.append(number)

    before = signal.signal(signal.SIGTERM, on_signal)
    yield calls
    assert signal.getsignal(signal.SIGTERM) in (on_signal, before)
    signal.signal(signal.SIGTERM, before)


def train(model, *callbacks):
    model.train(iterations=4, verbose=0, callbacks=list(callbacks))


def interrupted(model, stopping):
    with pytest.raises(KeyboardInterrupt):
        train(model, Do(2, interrupt), stopping)


def files(folder):
    return sorted(path.name for path in folder.glob("*.pt"))


def test_the_same_callback_after_an_interruption(model, ended, tmp_path):
    stopping = ddb.SaveOnSigterm(tmp_path / "model")
    interrupted(model, stopping)
    train(model, stopping)
    terminate()
    assert len(ended) == 1 and files(tmp_path) == []
    with pytest.raises(SystemExit) as raised:
        train(model, Do(8, terminate), stopping)
    assert raised.value.code == 143 and files(tmp_path) == ["model-8.pt"]


def test_a_training_without_it_after_an_interruption(model, ended, tmp_path):
    interrupted(model, ddb.SaveOnSigterm(tmp_path / "model"))
    train(model, Do(4, terminate))
    assert len(ended) == 1 and files(tmp_path) == []


def test_a_second_signal_after_an_interruption(model, ended, tmp_path):
    interrupted(model, ddb.SaveOnSigterm(tmp_path / "model"))

    def twice():
        terminate()
        assert ended == []
        terminate()
        assert len(ended) == 1

    with pytest.raises(SystemExit):
        train(model, Do(4, twice), ddb.SaveOnSigterm(tmp_path / "model"))


def test_two_of_them(model, ended, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(model, *(ddb.SaveOnSigterm(tmp_path / name) for name in "ab"))
    assert signal.getsignal(signal.SIGTERM) is before


def test_after_the_last_iteration(model, ended, tmp_path):
    late = SignalAfterTheLastIteration(str(tmp_path / "other"))
    with pytest.raises(SystemExit):
        train(model, ddb.SaveOnSigterm(tmp_path / "model"), late)
    assert files(tmp_path) == ["model-4.pt"]


def test_other_checkpoints_of_that_iteration_are_saved_before(model, ended, tmp_path):
    stopping = ddb.SaveOnSigterm(tmp_path / "stopped")
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "best"), period=3, save_better_only=True)
    with pytest.raises(SystemExit):
        train(model, stopping, saving, Do(3, terminate))
    assert {path.name for path in tmp_path.glob("*.pt")} == {"best-3.pt", "stopped-3.pt"}


def test_a_network_that_is_not_finite(model, ended, tmp_path, capsys):
    def spoil():
        with torch.no_grad():
            next(model.net.parameters()).fill_(math.nan)
        terminate()

    stopping = ddb.SaveOnSigterm(tmp_path / "model")
    with pytest.warns(UserWarning, match="not written"), pytest.raises(SystemExit):
        train(model, Do(4, spoil), stopping)
    told = capsys.readouterr().err
    assert "nothing was saved" in told and "saved " not in told.replace("nothing was saved", "")
    assert files(tmp_path) == []
