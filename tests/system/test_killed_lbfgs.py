"""A script that is killed within L-BFGS under point weights, started again until it is done."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

SCRIPT = """
import pathlib, re, sys
import deepxde as dde
import numpy as np
import torch
import deepxde_balance as ddb
from deepxde.optimizers.config import LBFGS_options

folder, weights, points, keeps = pathlib.Path(sys.argv[1]), *sys.argv[2:4], sys.argv[4] == "keep"
torch.set_num_threads(1)
dde.config.set_random_seed(3)
geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))


def burgers(x, u):
    u_x, u_t = (dde.grad.jacobian(u, x, j=j) for j in (0, 1))
    return u_t + u * u_x - 0.01 * dde.grad.hessian(u, x)


bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on)
ic = dde.icbc.IC(geom, lambda x: -np.sin(np.pi * x[:, :1]), lambda _, on: on)
data = dde.data.TimePDE(geom, burgers, [bc, ic], num_domain=400, num_boundary=40, num_initial=40)
model = ddb.Model(data, dde.nn.FNN([2, 20, 20, 1], "tanh", "Glorot normal"))
dde.optimizers.set_LBFGS_options(maxiter=240, ftol=0, gtol=0)
LBFGS_options["iter_per_step"], LBFGS_options["fun_per_step"] = 8, 200
saver = dde.callbacks.ModelCheckpoint(str(folder / "lbfgs"), period=1)
fresh = {"loss_weights": weights, "point_weights": points}

found = list(folder.glob("lbfgs-*.pt"))
if found:
    model.compile("L-BFGS", verbose=0, **({} if keeps else fresh))
    model.restore(str(max(found, key=lambda p: int(re.findall("[0-9]+", p.name)[-1]))))
else:
    model.compile("adam", lr=1e-3, verbose=0, **fresh)
    model.train(iterations=50, verbose=0)
    model.compile("L-BFGS", verbose=0, **({"loss_weights": "keep"} if keeps else fresh))
model.train(callbacks=[saver], verbose=0)
result = {
    "parameters": [p.detach() for p in model.net.parameters()],
    "points": {name: torch.from_numpy(w) for name, w in model.point_weights.items()},
    "weights": model.weights,
    "steps": model.losshistory.steps,
    "losses": torch.from_numpy(np.array(model.losshistory.loss_train)),
    "iteration": model.train_state.iteration,
}
torch.save(result, folder / "result")
"""


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), *arguments],
        env={**os.environ, "DDE_BACKEND": "pytorch"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def iterations_saved(folder):
    names = [path.name for path in folder.glob("lbfgs-*.pt")]
    return max((int(re.findall("[0-9]+", name)[-1]) for name in names), default=0)


def assert_finished(process):
    _, error = process.communicate(timeout=600)
    assert process.returncode == 0, error


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("db-mean", "rba:eta=0.1", "fresh"),
        ("equal", "causal:tolerance=ladder", "fresh"),
        ("db-mean", "brdr:beta_w=0.5", "keep"),
    ],
)
def test_killed_within_lbfgs(arguments, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    unbroken.mkdir(), broken.mkdir()
    assert_finished(start(unbroken, *arguments))
    expected = torch.load(unbroken / "result")
    assert expected["iteration"] == 50 + 240
    kills, rng = 0, random.Random(7)
    for _ in range(4):
        process, before = start(broken, *arguments), iterations_saved(broken)
        while iterations_saved(broken) == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))  # to be somewhere within a later step
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
    assert kills > 1 and not (broken / "result").exists()
    assert_finished(start(broken, *arguments))
    found = torch.load(broken / "result")
    assert found["steps"] == expected["steps"]
    assert found["weights"] == expected["weights"]
    assert torch.equal(found["losses"], expected["losses"])
    assert found["points"].keys() == expected["points"].keys()
    assert all(torch.equal(w, expected["points"][name]) for name, w in found["points"].items())
    for a, b in zip(found["parameters"], expected["parameters"], strict=True):
        assert torch.equal(a, b)
