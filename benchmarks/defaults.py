"""Compares how often the weights are updated, and how they are averaged, to choose the defaults.

    python benchmarks/defaults.py --jobs 2

Trains five problems with few points and iterations, and three seeds. Finished runs are skipped.
Prints a table for each family of strategies. A row has the L2 error of a setting on each problem
(geometric mean over the seeds), the same as a multiple of the family's best on that problem, and
the largest multiple. A setting is shown when all its runs are finished.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

from scipy.stats import gmean

from deepxde_balance.experiments import Run, Sweep
from deepxde_balance.report.tables import table
from deepxde_balance.results.record import Record, read

ITERATIONS = 1000
#: Numbers of points; the networks are the papers'.
PROBLEMS: Mapping[str, Mapping[str, int]] = {
    "klein-gordon": {"residual": 1000, "boundary": 100, "initial": 100},
    "klein-gordon-plain": {"residual": 1000, "boundary": 100, "initial": 100},
    "helmholtz": {"residual": 1000, "boundary": 50},
    "burgers": {"residual": 1000, "boundary": 50, "initial": 100},
    "poisson": {"residual": 1000, "boundary": 50},
}
AVERAGES = ("running-mean", "bias-corrected-ema", "geometric-mean")
EVERY = (1, 10, 100)
FAMILIES: Mapping[str, Sequence[str]] = {
    "GW": [f"gw-mean:alpha=0.1,update_every={n}" for n in EVERY],
    "DN": [f"dn:update_every={n}" for n in EVERY],
    "DB": [f"db-kurtosis:average={a},update_every={n}" for a in AVERAGES for n in EVERY],
}


def runs(seeds: int) -> list[Run]:
    """All runs: those of seed 0 first, then those of seed 1, and so on."""
    strategies = ["equal", *(strategy for family in FAMILIES.values() for strategy in family)]
    return [
        Run(problem, strategy, seed, settings={"iterations": ITERATIONS, "num_points": points})
        for seed in range(seeds)
        for problem, points in PROBLEMS.items()
        for strategy in strategies
    ]


Errors = Mapping[tuple[str, str], Mapping[int, float]]


def errors(records: Sequence[Record]) -> Errors:
    """The L2 errors by seed, for each problem and strategy; infinite where a run diverged."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for record in records:
        error = record.final["L2RE"]
        error = error if math.isfinite(error) else math.inf
        found.setdefault((record.problem, record.weights), {})[record.seed] = error
    return found


def family_table(strategies: Sequence[str], found: Errors, seeds: int) -> str:
    """The table of one family.

    Args:
        strategies: The words of the family's settings.
        found: The errors of the finished runs.
        seeds: The number of seeds that a setting must have to be shown.
    """
    errors_of: dict[str, list[float]] = {}  # of each setting the mean error on each problem
    for strategy in strategies:
        name = Run("klein-gordon", strategy).weights
        by_problem = [found.get((problem, name), {}) for problem in PROBLEMS]
        if all(set(range(seeds)) <= set(by_seed) for by_seed in by_problem):
            errors_of[name] = [gmean([e[seed] for seed in range(seeds)]) for e in by_problem]
    best = [min(column) for column in zip(*errors_of.values(), strict=True)]
    columns = {"setting": [f"`{name}`" for name in errors_of]}
    for i, problem in enumerate(PROBLEMS):
        columns[problem] = [
            f"{100 * row[i]:.3g} ({row[i] / best[i]:.2f})" for row in errors_of.values()
        ]
    columns["worst"] = [
        f"{max(error / b for error, b in zip(row, best, strict=True)):.2f}"
        for row in errors_of.values()
    ]
    return table(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0, 1, ...")
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    given = parser.parse_args()
    if not given.show:
        Sweep(runs(given.seeds), given.out, threads=1).train(given.jobs)
    found = errors(read(given.out))
    print(f"L2RE in % (multiple of the best of the family), {given.seeds} seed(s)\n")
    for family, strategies in {"No weights": ["equal"], **FAMILIES}.items():
        print(f"{family}\n\n{family_table(strategies, found, given.seeds)}")


if __name__ == "__main__":
    main()
