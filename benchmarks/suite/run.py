"""Trains strategies on the problems of the suite.

    cd benchmarks
    python -m suite.run equal db-kurtosis --half choosing --jobs 2      # into results/suite
    python -m suite.run --half choosing --show                          # the table, trains nothing
    python -m suite.run --show --write                                  # and into README.md
    python -m suite.run equal equal+rba auto auto+rba --only advection  # with point weights
    python -m suite.run equal auto --optimizer soap --lr 3e-3           # into results/suite-soap

Finished runs are skipped, a killed run goes on. Two processes of one thread are faster than one
of two.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

os.environ.setdefault("DDE_BACKEND", "pytorch")

import marked
import numpy as np

import deepxde_balance as ddb
from deepxde_balance.experiments.optimizers import OPTIMIZERS
from deepxde_balance.experiments.strategies import named
from deepxde_balance.experiments.user_problem import make, model_of
from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.report.tables import table
from deepxde_balance.weightings import words

from . import PROBLEMS, Entry, Half, names
from .setup import Setup

README = Path(__file__).with_name("README.md")
TOP_README = Path(__file__).parents[2] / "README.md"
RESULTS = Path(__file__).parents[1] / "results" / "suite"

#: With fewer residual points the compiler does not pay; and integro-differential problems have
#: losses of their own, which the one-pass engine can't take apart.
_FEW_POINTS = 300
_NOT_COMPILED = ("volterra",)

#: The strategies to which point weights are added.
_ADDED_TO = ("equal", "auto", "db-kurtosis")


class Build:
    """Makes a problem of the suite, also in a process of its own.

    Args:
        name: The problem's name, which its records have too.
    """

    def __init__(self, name: str):
        self.__name__ = name

    def __call__(self) -> Setup:
        return PROBLEMS[self.__name__].build()


def train(
    entry: Entry,
    strategies: Sequence[str],
    seeds: int,
    jobs: int,
    out: Path,
    lbfgs: int = 0,
    optimizer: str = "adam",
    lr: float = 1e-3,
) -> None:
    """Trains all strategies on a problem, in the folder of that problem.

    With `lbfgs` iterations of L-BFGS after the optimizer.
    """
    strategies = fitting(entry, strategies)
    if not strategies:
        return
    compiled = entry.name not in _NOT_COMPILED and len(entry.build().data.train_x) >= _FEW_POINTS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strategies that fail are what is measured here
        ddb.compare(
            Build(entry.name),
            strategies,
            iterations=entry.iterations,
            seeds=seeds,
            jobs=jobs,
            out=out / entry.name,
            optimizer=optimizer,
            lr=lr,
            lbfgs_iterations=lbfgs,
            gradient_engine="compiled" if compiled else None,
            threads=1,
        )


def fitting(entry: Entry, strategies: Sequence[str]) -> list[str]:
    """The strategies without those whose point weights the problem refuses, which are printed."""
    problem = make(Build(entry.name), 0)
    found = []
    for one in named(strategies):
        try:
            if one.point_weighting is not None:
                model_of(problem, one.weighting, one.point_weighting, optimizer="adam", lr=1e-3)
        except ValueError as refusal:
            print(f"{entry.name}: {one.name} is left out. {refusal}")
        else:
            found.append(one.name)
    return found


def has_points(strategy: str) -> bool:
    """Whether a strategy's name has point weights."""
    return len(words.split_points(strategy)) > 1


def records(name: str, out: Path) -> dict[str, list[UserRecord]]:
    """The finished runs of a problem by strategy."""
    found: dict[str, list[UserRecord]] = {}
    for path in sorted((out / name).glob("*/seed*.json")):
        record = UserRecord.load(path)
        found.setdefault(record.weights, []).append(record)
    return found


def error(runs: Sequence[UserRecord]) -> float:
    """The geometric mean over the seeds of each run's median over its last fifth; inf if nan."""
    medians = [run.over_last_fifth("metric") for run in runs]
    return float(np.exp(np.mean(np.log(medians)))) if np.isfinite(medians).all() else float("inf")


def ratios(problems: Sequence[str], out: Path) -> Mapping[str, Mapping[str, float]]:
    """For each strategy its error on each problem over that of `equal`, with the seeds of both."""
    found: dict[str, dict[str, float]] = {}
    for name in problems:
        runs = records(name, out)
        equal = {run.seed: run for run in runs.get("equal", [])}
        for strategy, of_strategy in runs.items():
            both = [run for run in of_strategy if run.seed in equal]
            if both:
                ratio = error(both) / error([equal[run.seed] for run in both])
                found.setdefault(strategy, {})[name] = ratio
    return found


def close_to_best(strategy: str, found: Mapping[str, Mapping[str, float]]) -> list[bool]:
    """For each problem whether a strategy's error is within 1.5 times that of the best other one.

    The others are those without point weights. A diverged strategy is close to none.

    Args:
        strategy: The strategy.
        found: The :func:`ratios` of all strategies.
    """
    others = [of for name, of in found.items() if name != strategy and not has_points(name)]
    best = {n: min(of[n] for of in others if n in of) for of in others for n in of}
    return [
        bool(np.isfinite(ratio)) and ratio <= 1.5 * best[n]
        for n, ratio in found[strategy].items()
        if n in best
    ]


def cells(problems: Sequence[str], out: Path, points: bool = False) -> str:
    """A table with the error of each strategy on each problem, and in brackets the ratio.

    The strategies are those without point weights, or those with.
    """
    found = {s: of for s, of in ratios(problems, out).items() if has_points(s) == points}
    errors = {name: {s: error(r) for s, r in records(name, out).items()} for name in problems}

    def cell(strategy: str, name: str) -> str:
        if name not in found[strategy]:
            return ""
        return f"{errors[name][strategy]:.2g} ({found[strategy][name]:.2g})"

    if points:
        problems = [name for name in problems if any(name in of for of in found.values())]
    columns = {"problem": list(problems)}
    return table(columns | {f"`{s}`": [cell(s, name) for name in problems] for s in found})


def summary(problems: Sequence[str], out: Path, points: bool = True) -> str:
    """A table with a row for each strategy: what its ratios to `equal` are like.

    Without `points`, strategies with point weights are left out.
    """
    found = {s: of for s, of in ratios(problems, out).items() if points or not has_points(s)}
    values = {s: np.array(list(of.values())) for s, of in found.items()}
    close = [close_to_best(s, found) for s in found]
    return table(
        {
            "strategy": [f"`{s}`" for s in found],
            "problems": [str(len(v)) for v in values.values()],
            "geometric mean": [f"{np.exp(np.log(v).mean()):.2g}" for v in values.values()],
            "worst": [f"{v.max():.2g}" for v in values.values()],
            "worse than 1.2": [f"{np.mean(v > 1.2):.0%}" for v in values.values()],
            "within 1.5 of the best other": [f"{np.mean(c):.0%}" if c else "" for c in close],
        }
    )


def tables(problems: Sequence[str], out: Path) -> str:
    """:func:`cells`, of the strategies with point weights, too, if there are any, and `summary`."""
    parts = [cells(problems, out)]
    if any(map(has_points, ratios(problems, out))):
        parts.append(cells(problems, out, points=True))
    return "\n\n".join([*parts, summary(problems, out)])


def added(problems: Sequence[str], out: Path) -> str | None:
    """A table of what point weights add to strategies; ``None`` where no run has any.

    A cell is about the errors with point weights over those of the strategy alone, with the seeds
    of both: the geometric mean over the problems that have both, the worst, and in brackets the
    number of problems. Problems on which the strategy alone diverged don't count.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name in problems:
        runs = records(name, out)
        for word, with_points in runs.items():
            strategy, *rule = words.split_points(word)
            if not rule or strategy not in _ADDED_TO:
                continue
            alone = {run.seed: run for run in runs.get(strategy, [])}
            both = [run for run in with_points if run.seed in alone]
            base = error([alone[run.seed] for run in both]) if both else float("inf")
            if np.isfinite(base):
                own = found.setdefault(rule[0], {}).setdefault(strategy, [])
                own.append(error(both) / base)
    if not found:
        return None

    def cell(values: Sequence[float]) -> str:
        mean = float(np.exp(np.log(values).mean()))
        return f"{mean:.2g}, worst {max(values):.2g} ({len(values)})"

    rules = sorted(found)
    columns = {"point weights": [f"`{rule}`" for rule in rules]}
    for strategy in _ADDED_TO:
        of_rules = [found[rule].get(strategy, []) for rule in rules]
        columns[f"beside `{strategy}`"] = [cell(values) if values else "" for values in of_rules]
    return table(columns)


def folder(optimizer: str, lbfgs: int) -> Path:
    """The folder of the results: one has runs of one optimizer, with or without L-BFGS after it."""
    words = ["suite", *([] if optimizer == "adam" else [optimizer]), *(["lbfgs"] if lbfgs else [])]
    return RESULTS.with_name("-".join(words))


def write() -> None:
    """Writes the tables of both halves into the READMEs."""
    halves = get_args(Half)
    marked.write(README, **{half: tables(names(half), RESULTS) for half in halves})
    marked.write(
        TOP_README, **{half: summary(names(half), RESULTS, points=False) for half in halves}
    )
    of_points = added(names(), RESULTS)
    if of_points is not None:
        marked.write(README, what_point_weights_add=of_points)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("strategies", nargs="*", metavar="STRATEGY")
    parser.add_argument("--half", choices=["choosing", "judging"])
    parser.add_argument("--only", nargs="+", choices=list(PROBLEMS), metavar="PROBLEM")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--lr", type=float, default=1e-3, help="its learning rate")
    parser.add_argument("--lbfgs", type=int, default=0, help="iterations of L-BFGS after that")
    parser.add_argument("--out", type=Path, help="default: results/suite, suite-soap, suite-lbfgs")
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    parser.add_argument("--write", action="store_true", help="both halves, into the READMEs")
    given = parser.parse_args()
    if given.write and (given.out or folder(given.optimizer, given.lbfgs) != RESULTS):
        parser.error("--write is for results/suite: leave --out and --lbfgs out, and --optimizer")
    problems = given.only or names(given.half)
    out = given.out or folder(given.optimizer, given.lbfgs)
    if not given.show:
        if not given.strategies:
            parser.error("name at least one strategy, or give --show")
        for name in problems:
            train(
                PROBLEMS[name], given.strategies, given.seeds, given.jobs, out, given.lbfgs,
                given.optimizer, given.lr,
            )  # fmt: skip
    if given.write:
        write()
    print(tables(problems, out))
    of_points = added(problems, out)
    if of_points is not None:
        print(f"\nWhat point weights add:\n\n{of_points}")


if __name__ == "__main__":
    main()
