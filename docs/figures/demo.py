"""Trains a small Klein-Gordon problem with equal weights and with `auto`: `make demo`, a minute.

    python docs/figures/demo.py                                         # into out/demo
    python docs/figures/demo.py --image docs/images/klein-gordon.png    # README's figure

Finished runs are not trained again.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from deepxde_balance import plots
from deepxde_balance.experiments import Run, Sweep
from deepxde_balance.results.record import Record

STRATEGIES = ("equal", "auto")
POINTS = 0.1  # factor on the paper's numbers of points
ITERATIONS = 2500
NEXT = "deepxde-balance compare my_script.py:build --weights equal auto --iterations 5000 --jobs 2"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the records")
    parser.add_argument("--image", type=Path, help="default: demo.png in that folder")
    given = parser.parse_args()
    out = given.out
    runs = [
        Run("klein-gordon", strategy, 0, POINTS, {"iterations": ITERATIONS})
        for strategy in STRATEGIES
    ]
    failed = Sweep(runs, out, threads=1).train(given.jobs)
    if failed:
        parser.exit(1, f"{failed[0][0].weights} failed: {failed[0][1]}\n")
    records = [Record.load(run.record(out)) for run in runs]
    image = given.image or out / "demo.png"
    draw(records, image)
    print(f"\nKlein-Gordon after {ITERATIONS} iterations, from the same network:\n")
    print("| loss_weights | relative L2 error | weights at the end |\n|---|---:|---|")
    for record in records:
        weights = ", ".join(f"{name} {value:.3g}" for name, value in record.weights_now.items())
        print(f"| {record.weights} | {record.final['L2RE']:.1%} | {weights} |")
    print(f"\nFigure: {image}")
    print(f"Now on your own script, where build() returns data, net:\n  {NEXT}")


def draw(records: list[Record], path: Path) -> None:
    """Solution and predictions with one colour scale, and below the errors with one."""
    fields = [record.fields for record in records]
    points, solution = fields[0].points, fields[0].solution[:, 0]
    x, t = (np.unique(column) for column in points.T)
    limits = {"vmin": solution.min(), "vmax": solution.max()}
    errors = [np.abs(one.prediction[:, 0] - solution) for one in fields]
    worst = {"vmin": 0.0, "vmax": max(error.max() for error in errors), "cmap": "inferno"}
    with plt.rc_context({**plots.STYLE, "axes.grid": False}):
        figure, axes = plt.subplots(
            2, 3, figsize=(9.6, 5.2), sharex=True, sharey=True, layout="constrained"
        )

        def field(ax: Axes, values: np.ndarray, style: dict[str, Any]) -> QuadMesh:
            shape = (len(x), len(t))
            return ax.pcolormesh(x, t, values.reshape(shape).T, rasterized=True, **style)

        above = field(axes[0, 0], solution, limits)
        axes[0, 0].set(title="solution u", ylabel="t")
        for i, (record, one, error) in enumerate(zip(records, fields, errors, strict=True), 1):
            field(axes[0, i], one.prediction[:, 0], limits)
            axes[0, i].set_title(f'loss_weights="{record.weights}"')
            below = field(axes[1, i], error, worst)
            axes[1, i].set(title=f"L2 error {record.final['L2RE']:.1%}", xlabel="x")
        axes[0, 0].tick_params(labelbottom=True)
        axes[0, 0].set_xlabel("x")
        axes[1, 0].remove()
        figure.colorbar(above, ax=axes[0, :], label="u")
        figure.colorbar(below, ax=axes[1, 1:], label="absolute error")
        figure.savefig(path)
        plt.close(figure)


if __name__ == "__main__":
    main()
