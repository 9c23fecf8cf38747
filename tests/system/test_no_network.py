"""The package talks to nobody: no socket is connected by what a script does with it."""

import subprocess
import sys

SCRIPT = """
import socket, sys

def refuse(*args, **kwargs):
    calls.append(args)
    raise OSError("no network")

calls = []
for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
socket.create_connection = socket.getaddrinfo = refuse

import deepxde as dde
import deepxde_balance as ddb
from deepxde_balance import plots

def build():
    geom = dde.geometry.Interval(0, 1)
    left = dde.icbc.DirichletBC(geom, lambda x: 1, lambda x, on: on and x[0] < 0.5)
    right = dde.icbc.NeumannBC(geom, lambda x: 2, lambda x, on: on and x[0] > 0.5)
    pde = lambda x, u: dde.grad.hessian(u, x) - 2
    data = dde.data.PDE(geom, pde, [left, right], num_domain=8, num_boundary=2)
    return data, dde.nn.FNN([1, 4, 1], "tanh", "Glorot uniform")

model = ddb.Model(*build())
model.compile("adam", lr=1e-3, loss_weights="auto", verbose=0)
model.train(iterations=3, verbose=0, callbacks=[ddb.GradientMonitor(period=1)])
model.restore(model.save(sys.argv[1] + "/run"))
str(ddb.diagnose(model))
str(ddb.compare(build, ["equal", "dn"], iterations=3, seeds=1, out=sys.argv[1] + "/runs"))
assert calls == [], calls
try:  # the control: it is refused where it is tried
    socket.socket().connect(("127.0.0.1", 1))
except OSError as error:
    assert str(error) == "no network" and len(calls) == 1
print("nothing connected")
"""


def test_nothing_is_connected(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("nothing connected\n")
