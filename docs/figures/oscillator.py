"""The harmonic oscillator of "Get started" with equal weights and with `auto`: half a minute.

    python docs/figures/oscillator.py

Writes `docs/images/oscillator.png`, the loss terms' gradients; `docs/images/get-started.png`, the
solutions; and `docs/images/summary.png`, what `plots.summary` shows.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import matplotlib.pyplot as plt
import numpy as np
import torch

import deepxde_balance as ddb
from deepxde_balance import plots

IMAGES = Path(__file__).parents[1] / "images"
ITERATIONS = 5000
OMEGA = 2 * np.pi


def ode(t: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    residual: torch.Tensor = dde.grad.hessian(u, t) + OMEGA**2 * u
    return residual


def trained(strategy: Literal["equal", "auto"]) -> tuple[ddb.Model, ddb.GradientMonitor]:
    dde.config.set_random_seed(0)
    geom = dde.geometry.TimeDomain(0, 1)
    start = dde.icbc.IC(geom, lambda t: np.ones((len(t), 1)), lambda t, on: on)
    rest = dde.icbc.OperatorBC(
        geom,
        lambda t, u, _: dde.grad.jacobian(u, t),
        lambda t, on: on and dde.utils.isclose(t[0], 0),
    )
    data = dde.data.PDE(geom, ode, [start, rest], num_domain=100, num_boundary=2)
    net = dde.nn.FNN([1, 32, 32, 32, 1], "tanh", "Glorot normal")
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights=strategy, verbose=0)
    if strategy == "equal":
        print(ddb.diagnose(model), "\n")
    monitor = ddb.GradientMonitor(period=25, warn_ratio=float("inf"))
    model.train(iterations=ITERATIONS, callbacks=[monitor], display_every=100, verbose=0)
    t = np.linspace(0, 1, 1001)[:, None]
    error = dde.metrics.l2_relative_error(np.cos(OMEGA * t), model.predict(t))
    losses = ", ".join(f"{n} {v[-1]:.2g}" for n, v in monitor.losses.items())
    weights = ", ".join(f"{n} {w:.3g}" for n, w in model.weights.items())
    print(f"{strategy}: L2 relative error {error:.2g}; losses {losses}; weights {weights}")
    return model, monitor


def main() -> None:
    runs = {"equal": trained("equal"), "auto": trained("auto")}
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.4), sharey=True, layout="constrained")
        for ax, (strategy, (_, monitor)) in zip(axes, runs.items(), strict=True):
            for name, norms in monitor.gradient_norms.items():
                weighted = np.array(norms) * monitor.weights[name]
                ax.plot(monitor.steps, weighted, label=name)
            ax.set(yscale="log", xlabel="iteration", title=f'loss_weights="{strategy}"')
            ax.legend()
        axes[0].set_ylabel("length of the weighted gradient")
        figure.savefig(IMAGES / "oscillator.png")

        figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
        t = np.linspace(0, 1, 201)[:, None]
        ax.plot(t, np.cos(OMEGA * t), color="black", lw=3, alpha=0.3, label="solution")
        for strategy, (model, _) in runs.items():
            ax.plot(t, model.predict(t), "--", label=f'prediction, "{strategy}"')
        ax.set(xlabel="t", ylabel="u")
        ax.legend(loc="lower left", bbox_to_anchor=(0.3, 0.6))
        figure.savefig(IMAGES / "get-started.png")

    plots.summary(*runs["auto"]).savefig(IMAGES / "summary.png")


if __name__ == "__main__":
    main()
