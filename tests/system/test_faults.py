"""Faults in training: what happens is documented in docs/faults.md, and checkpoints stay whole."""

import math
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings

import deepxde as dde
import numpy as np
import pytest
import torch

import deepxde_balance as ddb
from deepxde_balance.checkpoints import versions
from deepxde_balance.experiments.callbacks import Checkpoints, save_only


class Faulty:
    """A problem whose residual is spoiled from an iteration on."""

    def __init__(self, spoil=None, at=12):
        self.model = None
        geom = dde.geometry.Interval(0, 1)

        def pde(x, u):
            residual = dde.grad.hessian(u, x) - 1
            if spoil is not None and self.model and self.model.train_state.step >= at:
                return spoil(residual)
            return residual

        bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda x, on: on)
        dde.config.set_random_seed(0)
        data = dde.data.PDE(geom, pde, bc, num_domain=20, num_boundary=2)
        self.model = ddb.Model(data, dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal"))

    def compiled(self, loss_weights="softadapt", **given):
        self.model.compile("adam", lr=1e-3, loss_weights=loss_weights, verbose=0, **given)
        return self.model


def parameters(model):
    return [p.detach().clone() for p in model.net.parameters()]


def trained_with_checkpoints(model, prefix, iterations=30, callbacks=()):
    """Trains with a checkpoint every 5 iterations; returns the texts of the warnings."""
    saving = dde.callbacks.ModelCheckpoint(str(prefix), period=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train(
            iterations=iterations, display_every=10, verbose=0, callbacks=[*callbacks, saving]
        )
    return [str(w.message) for w in caught]


def assert_goes_on(prefix, expected_step, iterations=20):
    """From the last checkpoint, a sound model ends in the parameters of the unbroken run."""
    path = ddb.last_checkpoint(prefix)
    assert path is not None and path.endswith(f"-{expected_step}.pt")
    model = Faulty().compiled()
    model.restore(path)
    saving = dde.callbacks.ModelCheckpoint(str(prefix), period=5)
    left = iterations - model.train_state.step
    model.train(iterations=left, display_every=10, verbose=0, callbacks=[saving])
    unbroken = Faulty().compiled()
    unbroken.train(iterations=iterations, display_every=10, verbose=0)
    assert all(map(torch.equal, parameters(model), parameters(unbroken)))


@pytest.mark.parametrize(
    "spoil, iteration, told",
    [
        (lambda r: r * math.nan, 12, "The loss of 'pde' was not finite .* in iteration 12: look"),
        (lambda r: r * math.inf, 12, "The loss of 'pde' was not finite .* in iteration 12: look"),
        (lambda r: r * 1e30, 12, "The loss of 'pde' was not finite .* in iteration 12: look"),
        (
            lambda r: r + (0 * r).sqrt(),  # finite, its gradient is not
            13,
            "'pde', 'bc0' was not finite .* in iteration 13: the parameters.*after iteration 12",
        ),
    ],
    ids=["nan", "inf", "overflow", "gradient"],
)
@pytest.mark.parametrize("loss_weights", ["softadapt", "dn:update_every=1"])
def test_what_is_not_finite(spoil, iteration, told, loss_weights, tmp_path):
    model = Faulty(spoil).compiled(loss_weights)
    messages = trained_with_checkpoints(model, tmp_path / "model")
    (message,) = (text for text in messages if "was not finite" in text)
    assert re.search(told, message), message
    assert "has become nan: go on from a checkpoint before" in message
    assert any("model-15.pt was not written" in text for text in messages)
    assert model.train_state.step == 15 and model.stop_training
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == ["model-10.pt", "model-5.pt"]
    if loss_weights == "softadapt":
        assert_goes_on(tmp_path / "model", 10)


def test_a_loss_that_was_infinite_once_is_told_and_training_goes_on():
    """The gradient of a constant is 0, so that the network stays finite."""
    model = Faulty(lambda r: (0 * r).detach() + 1e30, at=3).compiled()
    with pytest.warns(UserWarning, match="'pde' was not finite.*iteration 3: look for") as told:
        model.train(iterations=20, display_every=5, verbose=0)
    assert len(told) == 1 and "has become nan" not in str(told[0].message)
    assert model.train_state.step == 20


def test_a_statistic_that_is_not_finite_keeps_the_weight(tmp_path):
    class Spoil(dde.callbacks.Callback):
        def on_batch_begin(self):
            if self.model.train_state.step == 6:
                self.model.weighting.statistic = lambda g, w: torch.full_like(w, math.nan)

    model = Faulty().compiled("dn:update_every=1")
    with pytest.warns(UserWarning, match="weight of 'bc0' was left as it was"):
        model.train(iterations=20, display_every=5, verbose=0, callbacks=[Spoil()])
    assert math.isfinite(model.weights["bc0"]) and model.train_state.step == 20


def test_a_weight_that_is_not_allowed_ends_training(tmp_path):
    class Wrong(ddb.FromLosses):
        def update(self, losses):
            self.weights = losses * (math.nan if self.iteration == 7 else 1)

    model = Faulty().compiled(Wrong())
    with pytest.raises(RuntimeError, match="Wrong gave the group 'pde' a weight at iteration 7"):
        trained_with_checkpoints(model, tmp_path / "model")
    assert [p.name for p in tmp_path.glob("*.pt")] == ["model-5.pt"]


def test_a_term_that_loses_its_points(tmp_path):
    class Lose(dde.callbacks.Callback):
        def on_batch_begin(self):
            data = self.model.data
            if self.model.train_state.step == 12:
                data.num_bcs = [0]
                data.train_x = data.train_x[2:]
                data.train_x_bc = data.train_x[:0]

    model = Faulty().compiled()
    messages = trained_with_checkpoints(model, tmp_path / "model", callbacks=[Lose()])
    (message,) = (text for text in messages if "was not finite" in text)
    assert "'bc0'" in message and "iteration 12: 'bc0' has no points any more" in message
    assert model.train_state.step == 20  # the next record
    assert all(p.isfinite().all() for p in parameters(model))


def test_a_loss_that_is_not_finite_in_deepxdes_own_step():
    model = Faulty(lambda r: r * math.nan).compiled(None)
    with pytest.warns(UserWarning, match=r"of 'pde', 'bc0' is not.* at iteration 20, after.* 10\."):
        model.train(iterations=30, display_every=10, verbose=0)
    assert model.train_state.step == 20


@pytest.mark.parametrize("error", [MemoryError, torch.cuda.OutOfMemoryError, ZeroDivisionError])
def test_an_error_in_the_residual_or_a_callback(error, tmp_path):
    """Out of memory is an error like another: it ends training, and the checkpoints are whole."""

    def fail(residual):
        raise error("no memory")

    model = Faulty(fail).compiled()
    with pytest.raises(error, match="no memory"):
        trained_with_checkpoints(model, tmp_path / "model")
    assert_goes_on(tmp_path / "model", 10)


def test_a_callback_that_raises(tmp_path):
    class Raise(dde.callbacks.Callback):
        def on_batch_end(self):
            if self.model.train_state.step == 13:
                raise KeyError("mine")

    model = Faulty().compiled()
    with pytest.raises(KeyError, match="mine"):
        trained_with_checkpoints(model, tmp_path / "model", callbacks=[Raise()])
    model.restore(ddb.last_checkpoint(tmp_path / "model"))  # into the same model
    model.train(iterations=10, display_every=10, verbose=0)
    unbroken = Faulty().compiled()
    unbroken.train(iterations=20, display_every=10, verbose=0)
    assert all(map(torch.equal, parameters(model), parameters(unbroken)))


def test_a_full_disk(tmp_path):
    class Fill(dde.callbacks.Callback):
        """Files can't grow beyond 2000 bytes from iteration 12 on."""

        def on_batch_begin(self):
            if self.model.train_state.step == 12:
                resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    model = Faulty().compiled()
    try:
        with pytest.raises(OSError, match=r"can't be written \(.*before it are whole.*model-15.pt"):
            trained_with_checkpoints(model, tmp_path / "model", callbacks=[Fill()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    files = {p.name for p in tmp_path.iterdir()} - {".model.lock"}  # some filelocks remove it
    assert files == {"model-5.pt", "model-10.pt"}  # no half-written file
    assert_goes_on(tmp_path / "model", 10)


def test_a_folder_that_cannot_be_written_to_is_told_before_training(tmp_path):
    model = Faulty().compiled()
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none\. Make"):
        trained_with_checkpoints(model, tmp_path / "none" / "model")
    assert model.train_state.step == 0
    with pytest.raises(OSError, match="no file can be written to the folder of the checkpoints"):
        trained_with_checkpoints(model, "/proc/self/model")  # of no file system to write to
    assert model.train_state.step == 0


def test_two_trainings_with_checkpoints_of_one_name(tmp_path):
    entered, leave = threading.Event(), threading.Event()

    class Wait(dde.callbacks.Callback):
        def on_batch_end(self):
            entered.set()
            leave.wait(60)

    first, second = Faulty().compiled(), Faulty().compiled()
    saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "model"), period=5)
    arguments = {"iterations": 1, "verbose": 0, "callbacks": [Wait(), saving]}
    thread = threading.Thread(target=first.train, kwargs=arguments)
    thread.start()
    assert entered.wait(60)
    try:
        with pytest.raises(BlockingIOError, match="another training saves to this name"):
            trained_with_checkpoints(second, tmp_path / "model")
    finally:
        leave.set()
        thread.join()
    trained_with_checkpoints(second, tmp_path / "model", iterations=5)  # now it is free


SIGTERM_SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[2])
import deepxde as dde
import deepxde_balance as ddb
from test_faults import Faulty

class Slow(dde.callbacks.Callback):
    def on_batch_end(self):
        if self.model.train_state.step == 3:
            print("trains", flush=True)
        time.sleep(0.02)

model = Faulty().compiled()
stopping = ddb.SaveOnSigterm(sys.argv[1])
model.train(iterations=3000, display_every=1000, verbose=0, callbacks=[Slow(), stopping])
"""


def test_sigterm_saves_and_ends_with_143(tmp_path):
    here = os.path.dirname(__file__)
    process = subprocess.Popen(
        [sys.executable, "-c", SIGTERM_SCRIPT, str(tmp_path / "model"), here],
        env={**os.environ, "DDE_BACKEND": "pytorch"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "trains":
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    path = ddb.last_checkpoint(tmp_path / "model")
    assert path is not None and f"SIGTERM: saved {path} at iteration" in errors
    step = int(path.rpartition("-")[2].removesuffix(".pt"))
    assert_goes_on(tmp_path / "model", step, iterations=step + 5)


def test_sigterm_without_a_training_ends_the_process_as_before(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    model = Faulty().compiled()
    model.train(iterations=1, verbose=0, callbacks=[ddb.SaveOnSigterm(str(tmp_path / "model"))])
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(ValueError, match="not a stock"):
        stock = dde.Model(model.data, model.net)
        stock.compile("adam", lr=1e-3, verbose=0)
        stock.train(iterations=1, verbose=0, callbacks=[ddb.SaveOnSigterm(str(tmp_path / "model"))])


def test_a_clock_that_jumps(tmp_path, monkeypatch):
    """Checkpoints at intervals of time go by a clock that nobody sets."""

    class Jump(dde.callbacks.Callback):
        def on_batch_end(self):
            clock[0] += 1e6 * (-1) ** self.model.train_state.step

    clock = [1e9]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    model = Faulty().compiled()
    saving = Checkpoints(tmp_path / "model", seconds=3600.0)
    model.train(iterations=20, verbose=0, callbacks=[Jump(), saving])
    assert list(tmp_path.glob("*.pt")) == []
    saving = Checkpoints(tmp_path / "model", seconds=0.0)
    model.train(iterations=20, verbose=0, callbacks=[Jump(), saving])
    assert [p.name for p in tmp_path.glob("*.pt")] == ["model-40.pt"]


def test_a_network_that_is_not_finite_does_not_replace_the_last_checkpoint(tmp_path):
    model = Faulty().compiled()
    model.train(iterations=2, verbose=0)
    save_only(model, str(tmp_path / "adam"))
    with torch.no_grad():
        next(model.net.parameters()).fill_(math.nan)
    model.train_state.iteration = 9
    with pytest.warns(UserWarning, match="adam-9.pt was not written"):
        save_only(model, str(tmp_path / "adam"))
    assert [p.name for p in tmp_path.glob("*.pt")] == ["adam-2.pt"]


def test_another_version_of_a_package_is_told(tmp_path, monkeypatch):
    model = Faulty().compiled()
    model.train(iterations=2, verbose=0)
    path = model.save(str(tmp_path / "model"))
    other = Faulty().compiled()
    other.restore(path)  # the same versions: nothing is told
    now_before = versions.present()
    monkeypatch.setattr(versions, "present", lambda: {**now_before, "torch": "99.0"})
    saved = re.escape(now_before["torch"])
    with pytest.warns(UserWarning, match=f"saved with torch {saved}, now 99.0"):
        other.restore(path)
    assert np.array_equal(other.losshistory.loss_train[-1], model.losshistory.loss_train[-1])
