"""Trains strategies on the problems of the suite.

    cd benchmarks
    python -m suite.run equal db-kurtosis --half choosing --jobs 2      # into results/suite
    python -m suite.run --half choosing --show                          # the table, trains nothing
    python -m suite.run --show --write                                  # and into the pages
    python -m suite.run equal equal+rba auto auto+rba --only advection  # with point weights
    python -m suite.run equal auto --optimizer soap --lr 3e-3           # into results/suite-soap

Finished runs are skipped, a killed run goes on. Two processes of one thread are faster than one
of two.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

os.environ.setdefault("DDE_BACKEND", "pytorch")

import marked

import deepxde_balance as ddb
from deepxde_balance.experiments.optimizers import OPTIMIZERS
from deepxde_balance.experiments.strategies import named
from deepxde_balance.experiments.user_problem import make, model_of

from . import PROBLEMS, Entry, Half, names
from .setup import Setup
from .tables import added, at_best_step, beside_adam, by_kind, few, summary, tables

README = Path(__file__).with_name("README.md")
TOP_README = Path(__file__).parents[2] / "README.md"
WHICH_STRATEGY = TOP_README.with_name("docs") / "which-strategy.md"
RESULTS = Path(__file__).parents[1] / "results" / "suite"

#: The problems of the short table in README.md, of five kinds, and what they are called there.
FEW = {
    "klein-gordon-plain": "Klein-Gordon",
    "helmholtz": "Helmholtz",
    "elasticity": "linear elasticity",
    "diffusion-inverse": "inverse diffusion",
    "laplace-mixed": "Laplace, mixed conditions",
}

#: The strategies that have run on all problems, beside `equal`.
ON_ALL = ("auto", "ntk", "db-kurtosis", "capu")

#: With fewer residual points the compiler does not pay; and integro-differential problems have
#: losses of their own, which the one-pass engine can't take apart.
FEW_POINTS = 300
_NOT_COMPILED = ("volterra",)


class Build:
    """Makes a problem of the suite, also in a process of its own.

    Args:
        name: The problem's name, which its records have too.
    """

    def __init__(self, name: str):
        self.__name__ = name

    def __call__(self) -> Setup:
        return PROBLEMS[self.__name__].build()


def compiled(entry: Entry) -> bool:
    """Whether a problem is trained with the compiled engine."""
    return entry.name not in _NOT_COMPILED and len(entry.build().data.train_x) >= FEW_POINTS


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
            gradient_engine="compiled" if compiled(entry) else None,
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


def folder(optimizer: str, lbfgs: int) -> Path:
    """The folder of the results: one has runs of one optimizer, with or without L-BFGS after it."""
    words = ["suite", *([] if optimizer == "adam" else [optimizer]), *(["lbfgs"] if lbfgs else [])]
    return RESULTS.with_name("-".join(words))


def write() -> None:
    """Writes the tables into the suite's README, "Which strategy?" and the first README."""
    halves = get_args(Half)
    marked.write(README, **{half: tables(names(half), RESULTS) for half in halves})
    kinds = {name: PROBLEMS[name].kind for name in names()}
    marked.write(
        WHICH_STRATEGY,
        kinds=by_kind(kinds, RESULTS, ON_ALL),
        **{half: summary(names(half), RESULTS, points=False) for half in halves},
        judging_at_best_step=summary(names("judging"), RESULTS, points=False, of_run=at_best_step),
    )
    marked.write(TOP_README, few=few(FEW, RESULTS))
    of_points = added(names(), RESULTS)
    if of_points is not None:
        marked.write(README, what_point_weights_add=of_points)
    of_soap = beside_adam(names(), RESULTS, folder("soap", 0))
    if of_soap is not None:
        marked.write(README, soap_beside_adam=of_soap)


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
    parser.add_argument("--write", action="store_true", help="both halves, into the pages")
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
    if given.optimizer != "adam" and not given.out:
        beside = beside_adam(problems, folder("adam", given.lbfgs), out)
        if beside is not None:
            print(f"\nOver the errors with Adam:\n\n{beside}")


if __name__ == "__main__":
    main()
