import os
import re
import signal
import sys
import time

import deepxde as dde
import pytest
import torch
from _support import scripts
from _support.processes import on_ranks

import deepxde_balance as ddb
from deepxde_balance import ranks as ranks_module


def compiled(weights="db-kurtosis"):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
    return model


def test_without_torchrun_the_error_says_how_to_start(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(RuntimeError, match=r"WORLD_SIZE.* not set\): start the script with `torch"):
        ddb.distributed()


def test_restarts_that_would_not_work_are_refused(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    with pytest.raises(RuntimeError, match="max-restarts 3 needs `export TORCH_DISABLE_SHARE_RDZV"):
        ddb.distributed()


@pytest.mark.parametrize("timeout", [0, -1, "5"])
def test_a_timeout_must_be_positive(timeout):
    with pytest.raises(ValueError, match=re.escape(f"timeout={timeout!r}")):
        ddb.distributed(timeout=timeout)


def test_a_second_call_gives_the_same_ranks(tmp_path):
    assert on_ranks(2, tmp_path, lambda ranks: ddb.distributed() is ranks) == [True, True]


def test_other_versions_are_named_on_every_rank(tmp_path, monkeypatch):
    monkeypatch.setattr(
        ranks_module, "version", lambda name: f"1.{os.getpid()}" if name == "torch" else "1"
    )
    errors = on_ranks(2, tmp_path, lambda ranks: None)
    for error in errors:
        assert isinstance(error, ddb.RanksError)
        assert "The ranks differ in the version of torch: 1." in str(error)


def test_a_failed_communication_is_told_and_other_errors_are_left():
    def fail(error):
        raise error

    ranks = ranks_module.Ranks(0, 2, timeout=3.0)
    with pytest.raises(ddb.RanksError, match=r"lost the others.* \(RuntimeError\)"):
        ranks._together(lambda: fail(RuntimeError("")))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        ranks._together(lambda: fail(torch.cuda.OutOfMemoryError("no memory")))


def test_a_killed_rank_ends_the_others(tmp_path):
    class Kill(dde.callbacks.Callback):
        def on_batch_end(self):
            if self.model.train_state.step == 3 and not ddb.distributed().is_first:
                os.kill(os.getpid(), signal.SIGKILL)

    def train(ranks):
        compiled().train(iterations=10, callbacks=[Kill()], verbose=0)

    began = time.monotonic()
    error, killed = on_ranks(2, tmp_path, train, timeout=120.0)
    assert killed is None
    assert isinstance(error, ddb.RanksError)
    assert "Rank 0 of 2 has lost the others" in str(error)
    assert time.monotonic() - began < 110  # sooner than the timeout


def test_a_rank_that_hangs_is_left_after_the_timeout(tmp_path):
    def train(ranks):
        model = compiled()
        if not ranks.is_first:
            time.sleep(8)
        model.train(iterations=10, verbose=0)

    first, _ = on_ranks(2, tmp_path, train, timeout=4.0)
    assert isinstance(first, ddb.RanksError)
    assert "within 4 seconds (the timeout of ddb.distributed)" in str(first)


def test_only_the_first_rank_prints_and_writes(tmp_path):
    def train(ranks):
        model = compiled()
        monitor = ddb.GradientMonitor(period=2, csv=tmp_path / f"{ranks.rank}.csv")
        model.train(iterations=2, callbacks=[monitor], verbose=0)
        for protocol, ending in (("backend", "pt"), ("pickle", "pkl")):
            path = model.save(str(tmp_path / str(ranks.rank)), protocol=protocol)
            assert path == str(tmp_path / f"{ranks.rank}-2.{ending}")
        return sys.stdout.name

    first, second = on_ranks(2, tmp_path, train)
    assert first != os.devnull and second == os.devnull
    assert {p.name for p in tmp_path.glob("*.*")} == {"0.csv", "0-2.pt", "0-2.pkl"}


def test_a_stock_model_and_runs_side_by_side_are_refused(tmp_path):
    def train(ranks):
        messages = []
        model = dde.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, verbose=0)
        with pytest.raises(ValueError) as stock:
            model.train(iterations=1, callbacks=[ddb.LossWeighting("dn")], verbose=0)
        messages.append(str(stock.value))

        def build():
            return scripts.klein_gordon(), scripts.network()

        for jobs in (1, 2):
            with pytest.raises(ValueError) as many:
                ddb.compare(build, ["equal", "dn"], iterations=1, jobs=jobs, out=tmp_path / "runs")
            messages.append(str(many.value))
        return messages

    for stock, *many in on_ranks(2, tmp_path, train):
        assert "not a stock dde.Model with a LossWeighting" in stock
        assert all("not many runs" in message for message in many)
