"""How often to update the weights, and how to average them: the runs behind the defaults.

    python benchmarks/defaults.py --jobs 2

Five problems with few points and iterations, three seeds. Finished runs are skipped. Prints a table
for each family of strategies: the L2 error of each setting on each problem (geometric mean
over the seeds), that as a multiple of the family's best there, and the worst multiple. Only
settings that have finished all seeds on all problems are in it.
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
    """All of them, seed by seed."""
    strategies = ["equal", *(strategy for family in FAMILIES.values() for strategy in family)]
    return [
        Run(problem, strategy, seed, settings={"iterations": ITERATIONS, "num_points": points})
        for seed in range(seeds)
        for problem, points in PROBLEMS.items()
        for strategy in strategies
    ]


Errors = Mapping[tuple[str, str], Mapping[int, float]]


def errors(records: Sequence[Record]) -> Errors:
    """The L2 error by problem and strategy, and by seed; infinite where a run diverged."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for record in records:
        error = record.final["L2RE"]
        error = error if math.isfinite(error) else math.inf
        found.setdefault((record.problem, record.weights), {})[record.seed] = error
    return found


def family_table(strategies: Sequence[str], found: Errors, seeds: int) -> str:
    """Each setting's error on each problem, in % and as a multiple of the family's best there."""
    means: dict[str, list[float]] = {}
    for strategy in strategies:
        name = Run("klein-gordon", strategy).weights
        by_problem = [found.get((problem, name), {}) for problem in PROBLEMS]
        if all(set(range(seeds)) <= set(of) for of in by_problem):
            means[name] = [gmean([of[seed] for seed in range(seeds)]) for of in by_problem]
    best = [min(of) for of in zip(*means.values(), strict=True)]
    columns = {"setting": [f"`{name}`" for name in means]}
    for i, problem in enumerate(PROBLEMS):
        columns[problem] = [f"{100 * of[i]:.3g} ({of[i] / best[i]:.2f})" for of in means.values()]
    columns["worst"] = [
        f"{max(mean / b for mean, b in zip(of, best, strict=True)):.2f}" for of in means.values()
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
