"""How often to update the weights, and how to average them: the runs behind the defaults.

    python benchmarks/defaults.py --jobs 2

Five problems with few points and iterations, three seeds. Finished runs are skipped. Prints a table
for each family of strategies: the L2 error of each setting on each problem, as a multiple of
the family's best there (geometric means over the seeds), and the worst multiple.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

from deepxde_balance.experiments import Run, Sweep
from deepxde_balance.records import Record, read
from deepxde_balance.report.tables import table

ITERATIONS = 1000
SEEDS = 3
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


def runs() -> list[Run]:
    """All of them, seed by seed."""
    strategies = ["equal", *(strategy for family in FAMILIES.values() for strategy in family)]
    return [
        Run(problem, strategy, seed, settings={"iterations": ITERATIONS, "num_points": points})
        for seed in range(SEEDS)
        for problem, points in PROBLEMS.items()
        for strategy in strategies
    ]


def errors(records: Sequence[Record]) -> dict[tuple[str, str], list[float]]:
    """The L2 errors of all seeds by problem and strategy; infinite where a run diverged."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        error = record.final["L2RE"]
        error = error if math.isfinite(error) else math.inf
        found.setdefault((record.problem, record.weights), []).append(error)
    return found


def typical(values: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values else math.nan


def family_table(strategies: Sequence[str], found: Mapping[tuple[str, str], list[float]]) -> str:
    """Each setting's error on each problem, in % and as a multiple of the family's best there."""
    names = [Run("klein-gordon", strategy).weights for strategy in strategies]
    columns = {"setting": [f"`{name}`" for name in names]}
    multiples: dict[str, list[float]] = {name: [] for name in names}
    for problem in PROBLEMS:
        means = [typical(found.get((problem, name), [])) for name in names]
        best = min(means)
        for name, mean in zip(names, means, strict=True):
            multiples[name].append(mean / best)
        cells = [f"{mean:.2%} ({mean / best:.2f})" for mean in means]
        columns[problem] = cells
    columns["worst"] = [f"{max(of):.2f}" for of in multiples.values()]
    return table(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=Path("runs/defaults"))
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    given = parser.parse_args()
    if not given.show:
        Sweep(runs(), given.out, threads=1).train(given.jobs)
    found = errors(read(given.out))
    for family, strategies in {"No weights": ["equal"], **FAMILIES}.items():
        print(f"{family}\n\n{family_table(strategies, found)}")


if __name__ == "__main__":
    main()
