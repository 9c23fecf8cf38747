"""Trainings that are killed at random moments end in the parameters of the unbroken run."""

import os
import subprocess
import sys

import pytest

#: Forks a child for each training, which is ready to train at once, kills it, and starts it again.
SCRIPT = """
import os, pathlib, random, signal, sys, time

import deepxde as dde
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance.__main__ import main
from deepxde_balance.results.record import Record

how, kills, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
torch.set_num_threads(1)
ITERATIONS = 1000


def build():
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))

    def burgers(x, u):
        u_x, u_t = (dde.grad.jacobian(u, x, j=j) for j in (0, 1))
        return u_t + u * u_x - 0.01 * dde.grad.hessian(u, x)

    bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on)
    ic = dde.icbc.IC(geom, lambda x: -np.sin(np.pi * x[:, :1]), lambda _, on: on)
    data = dde.data.TimePDE(
        geom, burgers, [bc, ic], num_domain=100, num_boundary=20, num_initial=20
    )
    return data, dde.nn.FNN([2, 10, 10, 1], "tanh", "Glorot normal"), {"metric": size}


def size(model):
    return sum(float(p.double().square().sum()) for p in model.net.parameters())


def train(where):
    dde.config.set_random_seed(0)
    data, net, _ = build()
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights="auto", point_weights="brdr", verbose=0)
    path = ddb.last_checkpoint(where / "model")
    if path is not None:
        model.restore(path)
    callbacks = [
        dde.callbacks.PDEPointResampler(period=70),
        dde.callbacks.ModelCheckpoint(str(where / "model"), period=50),
    ]
    left = ITERATIONS - model.train_state.step
    if left:
        model.train(iterations=left, display_every=100, callbacks=callbacks, verbose=0)
    torch.save([p.detach() for p in net.parameters()], where / "result.part")
    os.replace(where / "result.part", where / "result")


def compare(where):
    words = f"{__file__}:build --weights auto db-kurtosis --iterations {ITERATIONS} --threads 1"
    given = ["compare", *words.split(), "--checkpoint-every", "0.1", "--out", str(where / "runs")]
    assert main(given) == 0
    (where / "result").touch()


def result(where):
    if how == "train":
        return torch.load(where / "result", weights_only=True)
    records = [Record.load(path) for path in sorted((where / "runs").rglob("seed0.json"))]
    return [torch.tensor(np.array(r.errors["metric"])) for r in records] + [
        torch.tensor(np.array(list(r.losses.values()))) for r in records
    ]


def start(where):
    where.mkdir(exist_ok=True)
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    if not os.environ.get("SHOW"):
        os.dup2(null, 2)
    try:
        {"train": train, "compare": compare}[how](where)
    except BaseException:
        import traceback

        (where / "error").write_text(traceback.format_exc())
    os._exit(0)


if __name__ == "__main__":
    begin = time.monotonic()
    os.waitpid(start(folder / "unbroken"), 0)
    seconds = time.monotonic() - begin
    expected = result(folder / "unbroken")
    random.seed(20)
    same, killed, tries = 0, 0, 0
    while killed < kills and tries < 3 * kills:
        where = folder / f"killed{tries}"
        tries += 1
        child = start(where)
        time.sleep(random.uniform(0.0, 0.9) * seconds)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):  # it had ended before
            continue
        killed += 1
        os.waitpid(start(where), 0)
        found = result(where)
        same += len(found) == len(expected) and all(map(torch.equal, found, expected))
    print(f"same {same} of {killed} killed, {tries} tries, {seconds:.1f} s unbroken")
    sys.exit(not same == killed == kills)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["train", "compare"])
def test_killed_at_20_moments(how, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "DDE_BACKEND": "pytorch", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(script), how, "20", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "same 20 of 20 killed" in run.stdout
