"""SIGTERM to the commands: a checkpoint, exit status 143, and the same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

ENVIRONMENT = {**os.environ, "DDE_BACKEND": "pytorch", "OMP_NUM_THREADS": "1"}

#: A problem whose iterations take at least 2 ms, so that there is time to stop it.
PROBLEM = """
import time
import deepxde as dde

class Slow(dde.callbacks.Callback):
    def on_batch_end(self):
        time.sleep(0.002)

def build():
    geom = dde.geometry.Interval(0, 1)

    def pde(x, u):
        return dde.grad.hessian(u, x) - 1

    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on)
    data = dde.data.PDE(geom, pde, bc, num_domain=20, num_boundary=2)
    net = dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal")
    return data, net, {"metric": lambda model: 1.0, "callbacks": [Slow()]}
"""


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "deepxde_balance", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stopped(arguments, folder, runs):
    """Starts a command, ends it by SIGTERM when so many runs train, and returns its stderr."""
    process = start(arguments)
    end = time.monotonic() + 120
    while sum(p.read_text() not in ("", "0") for p in folder.rglob("iterations")) < runs:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert "Stopped by SIGTERM. Finished runs are kept" in errors
    assert len(list(folder.rglob("*.pt"))) == runs
    return errors


def losses(folder):
    return {
        path.parent.name: json.loads(path.read_text())["losses"]
        for path in folder.rglob("seed0.json")
    }


def test_train(tmp_path):
    settings = ["--points", "0.1", "--iterations", "1500", "--set", "width=4", "--weights", "dn"]
    arguments = ["train", "harmonic", *settings, "--out", str(tmp_path)]
    errors = stopped(arguments, tmp_path, 1)
    assert "SIGTERM: saved" in errors
    process = start(arguments)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0 and "Record:" in output, errors
    assert len(losses(tmp_path)) == 1


@pytest.mark.slow
def test_compare_in_worker_processes(tmp_path):
    script = tmp_path / "problem.py"
    script.write_text(PROBLEM)
    words = f"{script}:build --weights equal dn --iterations 2500 --jobs 2 --threads 1".split()
    stopped(["compare", *words, "--out", str(tmp_path / "broken")], tmp_path / "broken", 2)
    for out in ("broken", "unbroken"):
        process = start(["compare", *words, "--out", str(tmp_path / out)])
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert losses(tmp_path / "broken") == losses(tmp_path / "unbroken")
    assert len(losses(tmp_path / "broken")) == 2
