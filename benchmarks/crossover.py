"""From how many points on the one-pass engine is faster than the per-group engine.

    python benchmarks/crossover.py
    python benchmarks/crossover.py --points 100 300 1000 --rounds 200 --out crossover.json

Poisson's equation on a square with 2 and with 5 groups of loss terms, a fifth of the points on the
boundary, networks of 20 x 2 and 50 x 3, weights updated in every iteration. In every round each
engine takes one step; the ratio is of the medians of the processor times. The ratios justify
`FEW_POINTS` in deepxde_balance/gradients/choose.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch
from cases import network
from torch import Tensor

import deepxde_balance as ddb
from deepxde_balance.gradients.choose import EngineName

NETWORKS = ((20, 2), (50, 3))
CONDITIONS = (1, 4)
ENGINES: tuple[EngineName, ...] = ("per-group", "one-pass")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", nargs="+", type=int, default=[50, 100, 200, 300, 500, 1000])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    args = parser.parse_args()
    results: dict[str, dict[int, float]] = {}
    print("| one-pass / per-group | " + " | ".join(map(str, args.points)) + " |")
    print("|---" * (len(args.points) + 1) + "|")
    for conditions in CONDITIONS:
        for shape in NETWORKS:
            name = f"{conditions + 1} groups, {shape[0]} x {shape[1]}"
            found = {n: ratio(n, conditions, shape, args.rounds) for n in args.points}
            results[name] = found
            cells = " | ".join(f"{r:.2f}" for r in found.values())
            print(f"| {name} | {cells} |", flush=True)
    if args.out:
        about = f"torch {torch.__version__}, {torch.get_num_threads()} threads"
        text = {"about": about, "rounds": args.rounds, "ratios": results}
        args.out.write_text(json.dumps(text, indent=1) + "\n")


def ratio(points: int, conditions: int, shape: tuple[int, int], rounds: int) -> float:
    """The time of the one-pass engine's step over that of the per-group engine's."""
    model = {engine: compiled(points, conditions, shape, engine) for engine in ENGINES}
    seconds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for number in range(rounds + 3):  # the first are to warm up, and are checked
        for engine in ENGINES:
            batch, step = model[engine].data.train_next_batch(), model[engine].train_step
            assert step is not None
            start = time.process_time()
            step(*batch)
            if number >= 3:
                seconds[engine].append(time.process_time() - start)
    one_pass, per_group = (statistics.median(seconds[e]) for e in ("one-pass", "per-group"))
    return one_pass / per_group


def compiled(points: int, conditions: int, shape: tuple[int, int], engine: EngineName) -> ddb.Model:
    """A model on u_xx + u_yy = 1, with an engine and `points` points in all."""
    rng = np.random.default_rng(0)

    def pde(x: Tensor, u: Tensor) -> Tensor:
        laplacian: Tensor = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        return laplacian - 1

    boundary = rng.random((points // 5, 2))
    boundary[:, 0] = boundary[:, 0].round()
    bcs = [
        dde.icbc.PointSetBC(x, np.zeros((len(x), 1))) for x in np.array_split(boundary, conditions)
    ]
    inside = rng.random((points - len(boundary), 2))
    square = dde.geometry.Rectangle([0, 0], [1, 1])
    data = dde.data.PDE(square, pde, bcs, anchors=inside)
    model = ddb.Model(data, network(*shape))
    model.compile(
        "adam",
        lr=1e-3,
        loss_weights=ddb.DB("norm", update_every=1),
        gradient_engine=engine,
        verbose=0,
    )
    return model


if __name__ == "__main__":
    main()
