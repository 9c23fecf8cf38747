"""Trains users' problems with equal weights, with the weights that the user set, and with `auto`.

    cd benchmarks
    python -m suite.users_run                  # into ../results/suite-users
    python -m suite.users_run --only bioheat
    python -m suite.users_run --show --write   # the tables, into two pages; trains nothing

No rule or default was chosen on these problems. Finished runs are skipped, a killed run goes on.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence

os.environ.setdefault("DDE_BACKEND", "pytorch")

import marked
import numpy as np

import deepxde_balance as ddb
from deepxde_balance.experiments.own_numbers import own_numbers
from deepxde_balance.report.tables import table

from .run import FEW_POINTS, README, RESULTS, WHICH_STRATEGY, Build
from .setup import Setup
from .tables import OfRun, at_best_step, error, in_last_fifth, records
from .users import USERS, UserEntry

OUT = RESULTS.with_name("suite-users")

OWN = "the user's own"


class UserBuild(Build):
    """Makes a user's problem."""

    def __call__(self) -> Setup:
        return USERS[self.__name__].build()


def train(entry: UserEntry, strategies: Sequence[str], seeds: int) -> None:
    """Trains strategies and the user's own weights on a problem, in the folder of that problem."""
    own = [] if entry.loss_weights is None else [list(entry.loss_weights)]
    points = len(entry.build().data.train_x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strategies that fail are what is measured here
        ddb.compare(
            UserBuild(entry.name),
            [*strategies, *own],
            iterations=entry.iterations,
            seeds=seeds,
            jobs=1,
            out=OUT / entry.name,
            lr=entry.lr,
            gradient_engine="compiled" if points >= FEW_POINTS else None,
            threads=1,
        )


def errors(problems: Sequence[str], of_run: OfRun) -> dict[str, dict[str, float]]:
    """For each problem the errors by strategy, over the seeds that equal weights have, too."""
    found: dict[str, dict[str, float]] = {}
    for name in problems:
        runs = records(name, OUT)
        seeds = {run.seed for run in runs.get("equal", ())}
        for strategy, of_strategy in runs.items():
            same = [run for run in of_strategy if run.seed in seeds]
            if len(same) == len(seeds) and seeds:
                word = strategy if own_numbers(strategy) is None else OWN
                found.setdefault(name, {})[word] = error(same, of_run)
    return found


def of_problems(problems: Sequence[str]) -> str:
    """A row for each problem: the errors in the last fifth, in brackets over those of `equal`."""
    found = errors(problems, in_last_fifth)
    strategies = sorted({s for of in found.values() for s in of}, key=_place)

    def cell(name: str, strategy: str) -> str:
        own = found[name].get(strategy)
        if own is None:
            return ""
        if strategy == "equal":
            return f"{own:.2g}"
        return f"{own:.2g} ({own / found[name]['equal']:.2g})"

    columns = {
        "problem": list(found),
        "kind": [USERS[name].kind for name in found],
        "seeds": [str(len(records(name, OUT)["equal"])) for name in found],
    }
    return table(columns | {_title(s): [cell(name, s) for name in found] for s in strategies})


def summary(problems: Sequence[str]) -> str:
    """A row for each pair of strategies: what the ratios of their errors are like."""
    rows: list[tuple[str, ...]] = []
    for how, of_run in (("last fifth", in_last_fifth), ("best step", at_best_step)):
        found = errors(problems, of_run)
        strategies = sorted({s for of in found.values() for s in of} - {"equal"}, key=_place)
        pairs = [(s, "equal") for s in strategies]
        pairs += [("auto", s) for s in strategies if s != "auto"]
        for one, other in pairs:
            ratios = np.array(
                [of[one] / of[other] for of in found.values() if {one, other} <= of.keys()]
            )
            if len(ratios):
                rows.append(
                    (
                        *(_title(one), _title(other), how, str(len(ratios))),
                        f"{np.exp(np.log(ratios).mean()):.2g}",
                        f"{np.median(ratios):.3g}",
                        f"{ratios.max():.2g}",
                        str(int((ratios > 1.2).sum())),
                        str(int((ratios < 1 / 1.2).sum())),
                    )
                )
    columns = ("error of", "over", "taken", "problems", "geometric mean", "median", "worst",
               "above 1.2", "below 1 / 1.2")  # fmt: skip
    return table({name: [row[i] for row in rows] for i, name in enumerate(columns)})


def _place(strategy: str) -> tuple[int, str]:
    first = ("equal", OWN, "auto")
    return (first.index(strategy) if strategy in first else len(first)), strategy


def _title(strategy: str) -> str:
    return strategy if strategy == OWN else f"`{strategy}`"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("strategies", nargs="*", default=["equal", "auto"], metavar="STRATEGY")
    parser.add_argument("--only", nargs="+", choices=list(USERS), metavar="PROBLEM")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    parser.add_argument("--write", action="store_true", help="the tables, into the pages")
    given = parser.parse_args()
    problems = given.only or list(USERS)
    if not given.show:
        for name in problems:
            train(USERS[name], given.strategies, given.seeds)
    if given.write:
        marked.write(README, users=of_problems(list(USERS)))
        marked.write(WHICH_STRATEGY, users=summary(list(USERS)))
    print(of_problems(problems))
    print(f"\n{summary(problems)}")


if __name__ == "__main__":
    main()
