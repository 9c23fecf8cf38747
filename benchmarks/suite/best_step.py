"""Judges rules for the best step of a training by the errors in the suite's records.

    cd benchmarks
    python -m suite.best_step                   # the choosing half
    python -m suite.best_step --half judging    # for the final table only

It trains nothing. A rule chooses one record of a run. Its error is divided by the run's median
error over the last fifth, which is what the run gives on average if it ends anywhere there. Means
are geometric, over seeds first, then over problems.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.report.tables import table

from . import Half, names
from .run import RESULTS
from .tables import has_points, records

#: A strategy on fewer problems than this is left out.
FEWEST_PROBLEMS = 10


#: From a run to the error at the record that the rule chooses.
Rule = Callable[[UserRecord], float]


def _at_lowest(values: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Rule:
    """The rule that chooses the record with the lowest value, of those that are finite."""

    def error(run: UserRecord) -> float:
        found = values(*run.losses_and_weights())
        return float(run.errors["metric"][np.argmin(np.where(np.isfinite(found), found, np.inf))])

    return error


RULES: Mapping[str, Rule] = {
    "last record": lambda run: float(run.errors["metric"][-1]),
    "lowest sum of losses": _at_lowest(lambda losses, _: losses.sum(axis=1)),
    "lowest weighted sum, each record with its own weights": _at_lowest(
        lambda losses, weights: (losses * weights).sum(axis=1)
    ),
    "lower at the later record's weights (`train_state.best_step`)": lambda run: run.at_best_step(
        "metric"
    ),
}


def ratios(run: UserRecord) -> dict[str, float]:
    """For each rule the error that it chooses over the median error of the last fifth."""
    typical = run.over_last_fifth("metric")
    return {name: rule(run) / typical for name, rule in RULES.items()}


def of_strategies(problems: Sequence[str], out: Path) -> dict[str, list[list[dict[str, float]]]]:
    """For each strategy the ratios of its runs, by problem; without the runs that diverged."""
    found: dict[str, list[list[dict[str, float]]]] = {}
    for name in problems:
        for strategy, runs in records(name, out).items():
            of_runs = [ratios(r) for r in runs if math.isfinite(r.over_last_fifth("metric"))]
            if of_runs and not has_points(strategy):
                found.setdefault(strategy, []).append(of_runs)
    return {name: of for name, of in found.items() if len(of) >= FEWEST_PROBLEMS}


def best_step_table(problems: Sequence[str], out: Path) -> str:
    """A row for each strategy, a column for each rule: the mean, and in brackets the worst run.

    Raises:
        ValueError: If no strategy has enough problems.
    """
    found = of_strategies(problems, out)
    if not found:
        raise ValueError(
            f"out={str(out)!r} has no strategy with finished runs of {FEWEST_PROBLEMS} problems."
        )
    columns = {
        "strategy": [f"`{name}`" for name in found],
        "runs": [str(sum(map(len, of))) for of in found.values()],
    }
    for rule in RULES:
        columns[rule] = [_cell([[r[rule] for r in runs] for runs in of]) for of in found.values()]
    return table(columns)


def _cell(by_problem: Sequence[Sequence[float]]) -> str:
    mean = np.exp(np.mean([np.mean(np.log(of_runs)) for of_runs in by_problem]))
    return f"{mean:.2f} ({max(map(max, by_problem)):.3g})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=get_args(Half), default="choosing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the records")
    given = parser.parse_args()
    try:
        print(best_step_table(names(given.half), given.out))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
