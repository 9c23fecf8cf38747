"""Which weights L-BFGS should have after Adam: those that Adam ended with, or equal ones.

    cd benchmarks
    python -m suite.lbfgs_weights --half choosing   # trains, into ../results/lbfgs-weights
    python -m suite.lbfgs_weights --show --write    # the tables, into two pages

Adam trains a network with equal weights and one with `auto`. L-BFGS goes on from the first with
equal weights, and from the second both with the weights kept and with equal ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("DDE_BACKEND", "pytorch")

import marked
import torch
from scipy.stats import gmean

from deepxde_balance.report.tables import table
from deepxde_balance.results.record import write_json

from . import PROBLEMS, Half, names
from .lbfgs import by_adam, engine, go_on
from .run import README, RESULTS, WHICH_STRATEGY

OUT = RESULTS.with_name("lbfgs-weights")

STRATEGIES = ("equal", "auto")
#: By the weights of Adam, and what L-BFGS did with them ("adam" is without it): the columns.
_TITLES = {
    ("equal", "adam"): "`equal`",
    ("auto", "adam"): "`auto`",
    ("equal", "kept"): "`equal`, then L-BFGS",
    ("auto", "kept"): "`auto`, then L-BFGS with its weights",
    ("auto", "equal"): "`auto`, then L-BFGS with equal ones",
}
_ALL = tuple(_TITLES)
#: What the errors of each are compared with: equal weights, with L-BFGS where it has L-BFGS.
_BESIDE = {way: ("equal", "adam" if way[1] == "adam" else "kept") for way in _ALL}
#: The ratios of the short table.
_RATIOS = (
    (("equal", "kept"), ("equal", "adam")),
    *((way, beside) for way, beside in _BESIDE.items() if way != beside),
)


def train(name: str, strategy: str, seed: int) -> dict[str, Any]:
    """Trains one network by Adam, and goes on with it by L-BFGS with each kind of weights."""
    found = by_adam(name, strategy, seed)
    record = {
        "problem": name,
        "strategy": strategy,
        "seed": seed,
        "torch": torch.__version__,
        "weights": found.weights,
        "adam": {"error": found.error},
        "kept": go_on(name, seed, found, "ours", engine(name)),
    }
    if strategy != "equal":
        equal = dataclasses.replace(found, weights=[1.0] * len(found.weights))
        record["equal"] = go_on(name, seed, equal, "ours", engine(name))
    return record


def path_of(name: str, strategy: str, seed: int) -> Path:
    return OUT / name / f"{strategy}.seed{seed}.json"


def errors(problems: Sequence[str]) -> dict[str, dict[int, dict[tuple[str, str], float]]]:
    """The errors by problem, seed, and weights of Adam and of L-BFGS.

    L-BFGS is named "adam" where there is none. Seeds without equal weights are left out.
    """
    found: dict[str, dict[int, dict[tuple[str, str], float]]] = {}
    for name in problems:
        for path in sorted((OUT / name).glob("*.seed*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            of_seed = found.setdefault(name, {}).setdefault(record["seed"], {})
            for way in ("adam", "kept", "equal"):
                if way in record:
                    error = record[way]["error"]  # None stands for nan
                    of_seed[record["strategy"], way] = math.inf if error is None else error
        for seed, of_seed in list(found.get(name, {}).items()):
            if len(of_seed) < len(_ALL):
                del found[name][seed]
    return {name: seeds for name, seeds in found.items() if seeds}


def of_problems(problems: Sequence[str]) -> str:
    """A row for each problem: geometric means over the seeds."""
    rows = []
    for name, seeds in errors(problems).items():
        mean = {way: gmean([of_seed[way] for of_seed in seeds.values()]) for way in _ALL}
        rows.append(
            {
                "problem": name,
                "seeds": str(len(seeds)),
                **{_TITLES[way]: _cell(mean[way], mean[_BESIDE[way]]) for way in _ALL},
            }
        )
    return table({title: [row[title] for row in rows] for title in rows[0]}) if rows else ""


def in_short(problems: Sequence[str]) -> str:
    """Ratios of errors over the problems: what L-BFGS brings, and what weights bring."""
    rows = []
    for way, beside in _RATIOS:
        ratios = [
            gmean([of_seed[way] / of_seed[beside] for of_seed in seeds.values()])
            for seeds in errors(problems).values()
        ]
        rows.append(
            {
                "error of": _TITLES[way],
                "over": _TITLES[beside],
                "problems": str(len(ratios)),
                "geometric mean": f"{gmean(ratios):.2g}",
                "worst": f"{max(ratios):.2g}",
                "worse than 1.2": f"{sum(r > 1.2 for r in ratios)}",
                "better than 1 / 1.2": f"{sum(r < 1 / 1.2 for r in ratios)}",
            }
        )
    return table({title: [row[title] for row in rows] for title in rows[0]})


def _cell(error: float, beside: float) -> str:
    return f"{error:.2g} ({error / beside:.2g})"


def write() -> None:
    """Writes the tables into the suite's README, and the short one into "Which strategy?"."""
    for half in get_args(Half):
        both = f"{in_short(names(half))}\n\n{of_problems(names(half))}"
        marked.write(README, **{f"lbfgs_weights_{half}": both})
    marked.write(WHICH_STRATEGY, lbfgs_weights=in_short(names("judging")))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=get_args(Half))
    parser.add_argument("--only", nargs="+", choices=list(PROBLEMS), metavar="PROBLEM")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    parser.add_argument("--write", action="store_true", help="both halves, into the pages")
    given = parser.parse_args()
    problems = given.only or names(given.half)
    if not given.show:
        torch.set_num_threads(1)
        for seed in range(given.seeds):
            for name in problems:
                for strategy in STRATEGIES:
                    path = path_of(name, strategy, seed)
                    if not path.exists():
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write_json(path, train(name, strategy, seed))
                        print(f"{path.relative_to(OUT)} is finished.", flush=True)
    if errors(problems):
        print(f"{in_short(problems)}\n\n{of_problems(problems)}")
    if given.write:
        write()


if __name__ == "__main__":
    main()
