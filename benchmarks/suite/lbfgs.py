"""L-BFGS after Adam: PyTorch's, that of this package, and PyTorch's in double precision.

    cd benchmarks
    python -m suite.lbfgs --only stiff-ode                   # trains, into ../results/lbfgs
    python -m suite.lbfgs --show --write                     # the table, into suite/README.md

All three start from the same network and weights, those at the end of Adam.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import marked
import numpy as np
import torch
from scipy.stats import gmean
from torch import Tensor

import deepxde_balance as ddb
from deepxde_balance import weightings
from deepxde_balance._deepxde import lbfgs
from deepxde_balance.gradients.choose import EngineName
from deepxde_balance.report.tables import table
from deepxde_balance.results.record import write_json

from . import PROBLEMS
from .run import ON_ALL, README, RESULTS, compiled

OUT = RESULTS.with_name("lbfgs")
ITERATIONS = 2000
#: A training that ends before so many iterations has ended at once.
FEW = 50

#: What it was developed on.
CHOOSING = ("oscillator-system", "harmonic")
#: The small ones of the judging half: ODEs, an inverse problem, data only, and four PDEs.
JUDGING = (
    "euler-beam",
    "stiff-ode",
    "volterra",
    "diffusion-inverse",
    "regression-two-data-sets",
    "laplace-disk",
    "laplace-mixed",
    "kovasznay",
    "reaction-diffusion",
)
STRATEGIES = ("equal", *ON_ALL[:3])
WAYS = {"pytorch": "PyTorch's", "ours": "ours", "double": "PyTorch's in float64"}


@dataclasses.dataclass(frozen=True)
class Found:
    """What Adam has found.

    Args:
        error: The problem's error.
        net: The state of the network.
        variables: The unknowns of an inverse problem.
        weights: The weight of each loss term.
    """

    error: float
    net: dict[str, Tensor]
    variables: dict[str, Tensor]
    weights: list[float]


def by_adam(name: str, strategy: str, seed: int) -> Found:
    """Trains a network by Adam."""
    dde.config.set_default_float("float32")
    dde.config.set_random_seed(seed)
    entry = PROBLEMS[name]
    setup = entry.build()
    model = ddb.Model(setup.data, setup.net)
    model.compile(
        "adam",
        lr=1e-3,
        loss_weights=weightings.get(strategy),
        gradient_engine=engine(name),
        verbose=0,
        **setup.compile,
    )
    model.train(iterations=entry.iterations, callbacks=list(setup.callbacks), verbose=0)
    return Found(
        setup.error(model),
        {key: value.clone() for key, value in setup.net.state_dict().items()},
        {key: value.detach().clone() for key, value in setup.variables.items()},
        _by_term(model),
    )


def engine(name: str) -> EngineName | None:
    """The engine that a problem is trained with."""
    return "compiled" if compiled(PROBLEMS[name]) else None


def train(name: str, strategy: str, seed: int) -> dict[str, Any]:
    """Trains one network by Adam, and goes on with it in each way."""
    found = by_adam(name, strategy, seed)
    record = {
        "problem": name,
        "strategy": strategy,
        "seed": seed,
        "torch": torch.__version__,
        "adam": {"error": found.error},
        **{way: go_on(name, seed, found, way) for way in WAYS},
    }
    dde.config.set_default_float("float32")
    return record


def _by_term(model: ddb.Model) -> list[float]:
    """The weight of each loss term."""
    step = model._run.step
    return [1.0] * len(model.loss_terms) if step is None else step.term_weights().tolist()


def go_on(
    name: str, seed: int, found: Found, way: str, gradient_engine: EngineName | None = None
) -> dict[str, Any]:
    """Trains by L-BFGS from what Adam has found."""
    dde.config.set_default_float("float64" if way == "double" else "float32")
    dde.config.set_random_seed(seed)
    setup = PROBLEMS[name].build()
    setup.net.load_state_dict(found.net)
    for key, value in setup.variables.items():
        value.data.copy_(found.variables[key])
    model = ddb.Model(setup.data, setup.net)
    lbfgs.limit_iterations(ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it ended early is what is measured here
        options = {"gradient_engine": gradient_engine, "verbose": 0, **setup.compile}
        model.compile("L-BFGS", loss_weights=found.weights, **options)
        if way == "ours":
            model.compile("L-BFGS", loss_weights="keep", **options)
        start = time.perf_counter()
        model.train(callbacks=list(setup.callbacks), verbose=0)
    seconds = time.perf_counter() - start
    return {
        "iterations": lbfgs.iterations(model.opt),
        "evaluations": next(iter(model.opt.state.values()))["func_evals"],
        "error": setup.error(model),
        "seconds": seconds,
    }


def path_of(name: str, strategy: str, seed: int) -> Path:
    return OUT / name / f"{strategy}.seed{seed}.json"


def records(problems: Sequence[str]) -> list[dict[str, Any]]:
    """The finished ones, in the order of the problems and strategies, seeds together."""
    found = []
    for name in problems:
        for strategy in STRATEGIES:
            for path in sorted((OUT / name).glob(f"{strategy}.seed*.json")):
                found.append(json.loads(path.read_text(encoding="utf-8")))
                for way in WAYS:
                    if found[-1][way]["error"] is None:  # nan in the file
                        found[-1][way]["error"] = math.inf
    return found


def table_of(problems: Sequence[str]) -> str:
    """A row for each network: its error after Adam, and after L-BFGS in each way."""
    rows = [
        {
            "problem": record["problem"],
            "strategy": f"`{record['strategy']}`",
            "Adam": f"{record['adam']['error']:.2g}",
            **{title: _cell(record[way]) for way, title in WAYS.items()},
        }
        for record in records(problems)
    ]
    return table({title: [row[title] for row in rows] for title in rows[0]}) if rows else ""


def _cell(way: dict[str, Any]) -> str:
    return f"{way['error']:.2g} ({way['iterations']})"


def in_short(problems: Sequence[str]) -> str:
    """For each way geometric means over all networks, and how often it ended at once."""
    found = records(problems)
    rows = []
    for way, title in WAYS.items():
        gain = [r[way]["error"] / r["adam"]["error"] for r in found]
        beside = [r[way]["error"] / r["pytorch"]["error"] for r in found]
        rows.append(
            {
                "L-BFGS": title,
                "networks": str(len(found)),
                "error, of Adam's": f"{gmean(gain):.2g}",
                "error, of PyTorch's": f"{gmean(beside):.2g}",
                "worst": f"{max(beside):.2g}",
                f"ended before {FEW} iterations": str(
                    sum(r[way]["iterations"] < FEW for r in found)
                ),
                "median seconds": f"{np.median([r[way]['seconds'] for r in found]):.2g}",
            }
        )
    return table({title: [row[title] for row in rows] for title in rows[0]})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*CHOOSING, *JUDGING], metavar="PROBLEM")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="only show what is finished")
    parser.add_argument("--write", action="store_true", help="into suite/README.md")
    given = parser.parse_args()
    if not given.show:
        torch.set_num_threads(1)
        for name in given.only or JUDGING:
            for strategy in given.strategies:
                for seed in range(given.seeds):
                    path = path_of(name, strategy, seed)
                    if not path.exists():
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write_json(path, train(name, strategy, seed))
                        print(f"{path.relative_to(OUT)} is finished.", flush=True)
    for half in (CHOOSING, JUDGING):
        if records(half):
            print(f"\n{in_short(half)}\n\n{table_of(half)}")
    if given.write:
        marked.write(README, lbfgs=f"{in_short(JUDGING)}\n\n{table_of(JUDGING)}")


if __name__ == "__main__":
    main()
