"""The script for a machine with a GPU, in its short form on the CPU."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import deepxde as dde
import numpy as np
import pytest
import torch

from deepxde_balance.results.record import Record

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORD = "papers/helmholtz/db-kurtosis/seed0.json"


@pytest.fixture
def gpu(monkeypatch, optimizer_options):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("gpu")


def short(gpu, folder, *parts):
    gpu.main(["--device", "cpu", "--out", str(folder), "--only", *parts])


def test_without_a_gpu_it_says_what_to_give(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SystemExit, match="2"):
        gpu.main([])
    assert "PyTorch sees 0 GPU(s) here. Without a GPU, --device cpu" in capsys.readouterr().err


def test_equality_compares_with_another_engine_of_the_cpu(gpu, tmp_path, monkeypatch, capsys):
    short(gpu, tmp_path, "equality")
    path = tmp_path / "equality-one-pass.json"
    found = json.loads(path.read_text())
    assert found["too_large"] == [] and len(found["relative"]) == 4
    assert all(max(of.values()) < 1e-10 for of in found["relative"].values())
    # The same command again does nothing; a device that computes something else is noticed.
    written = path.stat().st_mtime_ns
    short(gpu, tmp_path, "equality")
    assert path.stat().st_mtime_ns == written
    assert "equality-one-pass.json: finished" in capsys.readouterr().out
    trained = gpu.equality._trained

    def slightly_wrong(problem, case, device, engine, prefix):
        results = trained(problem, case, device, engine, prefix)
        off = 1e-5 if engine == "one-pass" and case.point_weights == "brdr" else 0.0
        return {name: value * (1 + off) for name, value in results.items()}

    monkeypatch.setattr(gpu.equality, "_trained", slightly_wrong)
    short(gpu, tmp_path / "other", "equality")
    found = json.loads((tmp_path / "other" / "equality-one-pass.json").read_text())
    assert found["too_large"] == ["db-kurtosis, brdr, lbfgs"]


def test_a_stopped_run_goes_on(gpu, tmp_path, monkeypatch, capsys):
    class StopInTheMiddle(dde.callbacks.Callback):
        def on_epoch_begin(self):
            if self.model.train_state.step == 12:
                raise gpu.TimeIsOverError

    short(gpu, tmp_path / "unbroken", "papers")
    with monkeypatch.context() as patch:
        patch.setattr(gpu, "_CHECKPOINT_EVERY", 0.0)
        patch.setattr(gpu, "StopInTime", lambda _: StopInTheMiddle())
        short(gpu, tmp_path / "stopped", "papers")
    assert "1 of 1 are left" in capsys.readouterr().out
    assert not (tmp_path / "stopped" / RECORD).exists()
    short(gpu, tmp_path / "stopped", "papers")
    one, other = (Record.load(tmp_path / name / RECORD) for name in ("unbroken", "stopped"))
    np.testing.assert_array_equal(one.losses["pde"], other.losses["pde"])
    assert one.final == other.final


def test_it_ends_in_time(gpu, tmp_path, capsys):
    gpu.main(["--device", "cpu", "--out", str(tmp_path), "--minutes", "1e-9"])
    assert "The time is over, 4 of 4 are left" in capsys.readouterr().out
    end_has_passed = gpu.StopInTime(-np.inf)
    with pytest.raises(gpu.TimeIsOverError):
        end_has_passed.on_epoch_begin()


def test_what_fails_does_not_stop_the_rest(gpu, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu.equality, "differences", fail)
    with pytest.raises(SystemExit, match=r"Failed: equality-one-pass\.json"):
        short(gpu, tmp_path, "equality", "papers")
    assert (tmp_path / RECORD).exists()


@pytest.mark.slow
def test_all_parts_in_short(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--device", "cpu", "--out"]
    subprocess.run([*command, str(tmp_path)], check=True)
    tests = json.loads((tmp_path / "tests.json").read_text())
    assert tests["status"] == 0 and "1 passed" in tests["output"][-1]
    steps = json.loads((tmp_path / "step_time-tiny-ode.json").read_text())
    assert steps["cases"]["tiny-ode"]["ours equal"]["ratio"] > 0
    assert (tmp_path / "equality-one-pass.json").exists() and (tmp_path / RECORD).exists()
