"""Repeats results of the papers: trains the runs, and prints a table of what is finished.

    python benchmarks/papers.py --only burgers --jobs 2 --engine compiled
    python benchmarks/papers.py --short --jobs 2   # a tenth of the points, in papers-short
    python benchmarks/papers.py --show             # the tables only, trains nothing
    python benchmarks/papers.py --show --write     # into two pages of docs, and the report

All of it takes days on a CPU, a run minutes to hours. Finished runs are skipped, and a run that
was killed goes on. The runs with seed 0 come first, then those with seed 1, and so on.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("DDE_BACKEND", "pytorch")

import marked
import numpy as np
from scipy.stats import spearmanr

from deepxde_balance import weightings
from deepxde_balance.experiments import Run, Sweep
from deepxde_balance.gradients.choose import EngineName
from deepxde_balance.report import report
from deepxde_balance.report.case import Case, Summary, cases, summary, verdict
from deepxde_balance.report.tables import final, percent, printed, table
from deepxde_balance.results.record import Record, read

RESULTS = Path(__file__).parent / "results" / "papers"
RESULTS_SHORT = Path(__file__).parent / "results" / "papers-short"
#: `auto` on Burgers before its guard judged by smoothed losses.
RESULTS_BEFORE = RESULTS.with_name("growth-by-present-losses")
#: Every strategy on Klein-Gordon with a fifth of its points and 5000 iterations.
RESULTS_STRATEGIES = RESULTS.with_name("strategies")
PAGE = Path(__file__).parents[1] / "docs" / "papers.md"
WHICH_STRATEGY = PAGE.with_name("which-strategy.md")


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a problem.

    Args:
        problem: The name of the problem.
        seeds: The number of seeds by strategy.
        points: Factor on the paper's numbers of points.
        settings: Settings that differ from the paper's.
    """

    problem: str
    seeds: Mapping[str, int]
    points: float = 1.0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def runs(self) -> Iterator[Run]:
        for strategy, seeds in self.seeds.items():
            for seed in range(seeds):
                yield Run(self.problem, strategy, seed, self.points, self.settings)

    def has_runs(self, records: Sequence[Record]) -> bool:
        """Whether any of the runs is among the records."""
        found = {(record.problem, record.weights, record.seed) for record in records}
        return any((run.problem, run.weights, run.seed) in found for run in self.runs())


_STATISTICS = ("mean", "std", "kurtosis")
_NINE = ("equal", "uw", "sa", *(f"{way}-{s}" for way in ("gw", "db") for s in _STATISTICS))
_DN = (
    "equal",
    *(f"{name}:alpha={alpha}" for name in ("gw-mean", "gw-std") for alpha in (0.1, 0.01)),
    *(f"dn:beta={beta},bias_correction=false" for beta in (0.9, 0.99)),
)
#: The strategies of the papers' main tables, by problem: DB's, then DN's.
TABLES: Mapping[str, Sequence[str]] = {
    "klein-gordon": _NINE,
    "wave": _NINE,
    "helmholtz": _NINE,
    "allen-cahn": _NINE,
    "burgers-inverse": _NINE,
    "navier-stokes": _NINE,
    "burgers": _DN,
    "poisson": _DN,
    "allen-cahn-dn": _DN,
}
#: DB's tables 2 and 3.
_ABLATIONS = tuple(
    f"db-{statistic}:{changed}"
    for changed in (
        "allocation=pairwise",
        "allocation=average",
        *(f"average=ema:alpha={alpha}" for alpha in (0.5, 0.2, 0.01)),
    )
    for statistic in _STATISTICS
)
#: At the papers' settings.
PLANS: Sequence[Plan] = (
    Plan("klein-gordon", {**dict.fromkeys(_NINE, 2), "uw": 1, "sa": 1, "auto": 2}),
    Plan("poisson", dict.fromkeys((*_DN, "dn:beta=0.9", "dn:beta=0.99", "auto"), 3)),
    Plan("burgers-inverse", dict.fromkeys((*_NINE, "auto"), 3)),
    Plan("burgers", dict.fromkeys((*_DN, "auto"), 2)),
    Plan("helmholtz", dict.fromkeys((*_NINE, "auto"), 2)),
    Plan("navier-stokes", dict.fromkeys(("equal", "gw-mean", "db-mean", "auto"), 1)),
    Plan("klein-gordon", dict.fromkeys(_ABLATIONS, 1)),
    Plan("harmonic", {name: 5 for name in weightings.names() if name != "keep"}),
)
_FEW = ("equal", "gw-mean", "db-kurtosis", "auto")
_SHORTER = {"iterations": 5000}
#: Fewer points and iterations than the papers', on problems that take hours.
SHORT: Sequence[Plan] = (
    Plan("helmholtz", dict.fromkeys(_FEW, 1), 0.1, _SHORTER),
    Plan("navier-stokes", dict.fromkeys(_FEW, 1), 0.1, _SHORTER),
    Plan("allen-cahn", dict.fromkeys(_FEW, 1), 0.1, _SHORTER),
    Plan("wave", dict.fromkeys(_FEW, 1), 0.05, {**_SHORTER, "width": 100}),
    Plan(
        "burgers",
        dict.fromkeys(("equal", "dn:beta=0.99,bias_correction=false", "db-kurtosis", "auto"), 1),
        0.1,
        _SHORTER,
    ),
)


def _at_full_settings(records: Sequence[Record]) -> list[Case]:
    return [case for case in cases(records) if not case.differs]


def count_table(records: Sequence[Record]) -> str:
    """For each problem of the papers' main tables how many of its cells are measured, and how.

    A cell is measured if there is a run at the paper's settings, with any seed.
    """
    full = {case.problem: case for case in _at_full_settings(records)}
    rows: list[tuple[Any, ...]] = []
    for problem, strategies in TABLES.items():
        case = full.get(problem)
        words = [Run(problem, strategy).weights for strategy in strategies]
        verdicts = [verdict(case, w) for w in words if case and w in case.strategies]
        good = sum(text.startswith("ok") for text in verdicts)
        rows.append((problem, len(words), len(verdicts), good))
    rows.append(("all", *(sum(row[i] for row in rows) for i in (1, 2, 3))))
    columns = ("problem", "published cells", "measured", "ok")
    return table({name: [str(row[i]) for row in rows] for i, name in enumerate(columns)})


def cell_table(plans: Sequence[Plan], records: Sequence[Record]) -> str:
    """A table with a row for each problem and strategy of the plans, finished or not."""
    planned = [run.identity for plan in plans for run in plan.runs()]
    known = cases(r for r in records if {name: getattr(r, name) for name in planned[0]} in planned)
    rows = [_row(plan, strategy, known) for plan in plans for strategy in plan.seeds]
    return table({name: [row[i] for row in rows] for i, name in enumerate(_COLUMNS)})


_COLUMNS = (
    "problem",
    "strategy",
    "seeds",
    "L2RE %",
    "last fifth %",
    "at best step %",
    "published %",
    "verdict",
)


def _row(plan: Plan, strategy: str, known: Sequence[Case]) -> tuple[str, ...]:
    name = next(iter(Plan(plan.problem, {strategy: 1}).runs())).weights
    planned = plan.seeds[strategy]
    case = next((c for c in known if c.problem == plan.problem and name in c.strategies), None)
    if case is None:
        return plan.problem, f"`{name}`", f"0 of {planned}", "", "", "", "", "not measured"
    runs = case.strategies[name]
    return (
        plan.problem,
        f"`{name}`",
        f"{len(runs)} of {planned}",
        percent(final(runs, "L2RE")),
        percent(summary(run.over_last_fifth() for run in runs)),
        percent(summary(run.at_best_step() for run in runs)),
        printed(case.published(name, "L2RE"), 100),
        verdict(case, name),
    )


def order_table(plans: Sequence[Plan], records: Sequence[Record]) -> str:
    """For each problem at full settings the order of its strategies, and that of the paper.

    Of the strategies that are measured and published, if there are three of them or more.
    Spearman's rank correlation of the mean L2RE is 1 if both orders are the same.
    """
    rows = [row for plan in plans if (row := _order(plan, records)) is not None]
    columns = ("problem", "strategies", "rank correlation", "our order", "the paper's order")
    return table({name: [row[i] for row in rows] for i, name in enumerate(columns)})


def _order(plan: Plan, records: Sequence[Record]) -> tuple[str, ...] | None:
    planned = [run.identity for run in plan.runs()]
    known = cases(r for r in records if {name: getattr(r, name) for name in planned[0]} in planned)
    ours: dict[str, float] = {}
    papers: dict[str, float] = {}
    for case in known:
        for name, runs in case.strategies.items():
            published = case.published(name, "L2RE")
            if published is not None and not case.differs:
                ours[name] = final(runs, "L2RE").mean
                papers[name] = published.mean
    if len(ours) < 3:
        return None
    correlation = spearmanr(list(ours.values()), list(papers.values())).statistic
    orders = (
        " < ".join(f"`{name}`" for name in sorted(of, key=of.__getitem__)) for of in (ours, papers)
    )
    return plan.problem, str(len(ours)), f"{correlation:.2f}", *orders


def auto_table(records: Sequence[Record]) -> str:
    """`auto` beside equal weights and the best strategy, over the seeds that `auto` has.

    A strategy takes part with those seeds; one that lacks any of them does not. The mean of one
    with a run that diverged is infinite.
    """
    rows: list[tuple[str, ...]] = []
    for case in _at_full_settings(records):
        seeds = {run.seed for run in case.strategies.get("auto", ())}
        same = {
            name: [run for run in runs if run.seed in seeds]
            for name, runs in case.strategies.items()
        }
        complete = {name: runs for name, runs in same.items() if runs and len(runs) == len(seeds)}
        if not {"auto", "equal"} <= complete.keys():
            continue
        means = {name: _mean_percent(final(runs, "L2RE")) for name, runs in complete.items()}
        late = {
            name: _mean_percent(summary(run.over_last_fifth() for run in runs))
            for name, runs in complete.items()
        }
        at_best = {
            name: _mean_percent(summary(run.at_best_step() for run in runs))
            for name, runs in complete.items()
        }
        best = min(means, key=means.__getitem__)
        equal, auto, least = (f"{means[name]:.2g} %" for name in ("equal", "auto", best))
        ratios = (f"{of['auto'] / of['equal']:.2g}" for of in (means, late, at_best))
        rows.append((case.problem, str(len(seeds)), equal, auto, *ratios, f"{least} `{best}`"))
    of_means = ("ratio", "ratio, last fifth", "ratio, best step")
    columns = ("problem", "seeds", "`equal`", "`auto`", *of_means, "best")
    return table({name: [row[i] for row in rows] for i, name in enumerate(columns)})


def _mean_percent(errors: Summary) -> float:
    return math.inf if errors.diverged else 100 * errors.mean


def course_table(labelled: Sequence[tuple[str, Record]]) -> str:
    """The errors in % of runs with a label each, and the weights that they end with.

    Medians over fifths of the iterations. The conditions' weights are over the residual's.
    """
    rows: list[tuple[str, ...]] = []
    for label, run in labelled:
        errors, fifth = np.array(run.errors["L2RE"]), run.steps[-1] / 5
        fifths = (
            errors[(run.steps >= k * fifth) & (run.steps <= (k + 1) * fifth)] for k in range(5)
        )
        medians = (f"{100 * np.median(part):.2g}" for part in fifths)
        reference, *conditions = (values[-1] for values in run.loss_weights.values())
        weights = ", ".join(f"{weight / reference:.2g}" for weight in conditions)
        last = f"{100 * errors[-1]:.2g}"
        rows.append((label, str(run.seed), *medians, last, weights))
    parts = ("first fifth", "second", "third", "fourth", "last")
    columns = ("strategy", "seed", *parts, "last iteration", "weights")
    return table({name: [row[i] for row in rows] for i, name in enumerate(columns)})


def ranking_table(records: Sequence[Record]) -> str:
    """The strategies of one problem by their mean L2RE in %, the lowest first, with each seed's."""
    (case,) = cases(records)
    means = {name: _mean_percent(final(runs, "L2RE")) for name, runs in case.strategies.items()}
    rows = [
        (
            f"`{name}`",
            f"{means[name]:.2g}",
            ", ".join(f"{100 * run.final['L2RE']:.2g}" for run in case.strategies[name]),
            percent(summary(run.over_last_fifth() for run in case.strategies[name])),
        )
        for name in sorted(means, key=means.__getitem__)
    ]
    columns = ("strategy", "mean L2RE %", "by seed %", "last fifth %")
    return table({name: [row[i] for row in rows] for i, name in enumerate(columns)})


def page_tables(records: Sequence[Record]) -> dict[str, str]:
    """The tables of the page by their marks, of the published problems of which there are runs."""
    published = [plan for plan in PLANS if plan.problem in TABLES]
    plans = [plan for plan in published if plan.has_runs(records)]
    return {
        "papers": cell_table(plans, records),
        "orders": order_table(plans, records),
        "count": count_table(records),
        "course_on_burgers": course_table(_on_burgers(records)),
        "ranking": ranking_table(read(RESULTS_STRATEGIES)),
    }


def _on_burgers(records: Sequence[Record]) -> list[tuple[str, Record]]:
    before = [("`auto` before", run) for run in read(RESULTS_BEFORE)]
    runs = [run for run in records if run.problem == "burgers"]
    names = ("auto", "equal", "dn:beta=0.99,bias_correction=false")
    return before + [(f"`{name}`", run) for name in names for run in runs if run.weights == name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="PROBLEM")
    parser.add_argument("--short", action="store_true", help="the shortened problems instead")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, help="folder of the records")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", choices=get_args(EngineName), help="of gradients")
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    parser.add_argument("--write", action="store_true", help="the page's tables, the report")
    given = parser.parse_args()
    plans = SHORT if given.short else PLANS
    out = given.out or (RESULTS_SHORT if given.short else RESULTS)
    problems = [plan.problem for plan in plans]
    for name in given.only or ():
        if name not in problems:
            parser.error(f"--only: {name!r} is not one of {', '.join(problems)}.")
    shown = [plan for plan in plans if plan.problem in (given.only or problems)]
    if not given.show:
        runs = sorted((run for plan in shown for run in plan.runs()), key=lambda run: run.seed)
        failed = Sweep(runs, out, given.device, threads=1, engine=given.engine).train(given.jobs)
        if failed:
            parser.exit(1, f"{len(failed)} runs failed, see above; the others are finished.\n")
    records = read(out)
    if given.write:
        if not given.short:
            marked.write(PAGE, **page_tables(records))
            marked.write(WHICH_STRATEGY, full_settings=auto_table(records))
        report(out)
    print(cell_table(shown, records))
    if not given.short:
        for text in (order_table(shown, records), count_table(records), auto_table(records)):
            print(f"\n{text}")


if __name__ == "__main__":
    main()
