"""The time of a step of several processes with one thread each, as a ratio to a single process's.

The processes train one model together; the single process, the first of them, has all points. They
take turns, and the median of the turns' ratios is printed. Where other programs use the cores, the
ratio of the CPU time that the first process needs tells more than that of the wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["DDE_BACKEND"] = "pytorch"

import torch

import deepxde_balance as ddb


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--problem", default="klein-gordon")
    parser.add_argument("--points", type=float, default=1.0, help="factor on the paper's numbers")
    parser.add_argument("--weights", nargs="+", default=["equal", "db-kurtosis", "ntk"])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="steps in a turn")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    args = parser.parse_args(argv)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=measure, args=(rank, port, args)) for rank in range(args.ranks)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def measure(rank: int, port: int, args: argparse.Namespace) -> None:
    """Measures on one rank; the first prints."""
    torch.set_num_threads(1)
    alone = {word: step_of(word, args) for word in args.weights}
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(args.ranks),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    ranks = ddb.distributed()
    together = {word: step_of(word, args) for word in args.weights}
    ratios: dict[str, dict[str, float]] = {}
    print(f"{args.problem}, {args.ranks} ranks against one process")
    for word in args.weights:
        wall, cpu = [], []
        for _ in range(args.turns):
            ranks.wait()
            of_all = timed(together[word], args.steps)
            ranks.wait()
            if ranks.is_first:
                of_one = timed(alone[word], args.steps)
                wall.append(of_all[0] / of_one[0])
                cpu.append(of_all[1] / of_one[1])
        if ranks.is_first:
            ratios[word] = {"wall": statistics.median(wall), "cpu": statistics.median(cpu)}
            print(
                f"{word:12} wall-clock {ratios[word]['wall']:.2f}, "
                f"CPU of the first process {ratios[word]['cpu']:.2f}"
            )
    if args.out and ranks.is_first:
        options = {name: value for name, value in vars(args).items() if name != "out"}
        found = {**options, "load": os.getloadavg()[0], "ratios": ratios}
        args.out.write_text(json.dumps(found, indent=1) + "\n")


def step_of(word: str, args: argparse.Namespace) -> Callable[[], None]:
    """A step of a compiled model, after the first ones, which check and cut the points."""
    problem = ddb.problems.get(args.problem, points=args.points)
    weights = ddb.weightings.get(word)
    model = problem.model(weights, seed=0, verbose=0, gradient_engine="one-pass")
    model.train(iterations=1, verbose=0)

    train_step: Any = model.train_step

    def step() -> None:
        train_step(*model.data.train_next_batch())

    return step


def timed(step: Callable[[], None], steps: int) -> tuple[float, float]:
    """Seconds and CPU seconds of a number of steps."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
