"""The table of the suite's problems.

python -m suite --table           # prints it (from benchmarks/)
python -m suite --table --write   # into suite/README.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

import deepxde as dde
import marked
import torch

from deepxde_balance.report.tables import table

from . import PROBLEMS

README = Path(__file__).with_name("README.md")


def problem_table() -> str:
    """A row for each problem, in Markdown."""
    rows = [problem_row(name) for name in PROBLEMS]
    return table({title: [row[title] for row in rows] for title in rows[0]})


def problem_row(name: str) -> dict[str, str]:
    """A problem's cells, by the titles of their columns."""
    entry = PROBLEMS[name]
    dde.config.set_random_seed(0)
    setup = entry.build()
    layers = [module for module in setup.net.modules() if isinstance(module, torch.nn.Linear)]
    unknowns = str(layers[-1].out_features)
    if setup.variables:
        unknowns += " and " + ", ".join(setup.variables)
    return {
        "problem": f"`{name}`",
        "kind": entry.kind,
        "unknowns": unknowns,
        "conditions": str(len(setup.data.bcs)),
        "residual points": str(len(setup.data.train_x_all)),
        "condition points": str(sum(setup.data.num_bcs)),
        "network": f"{layers[0].out_features} x {len(layers) - 1}",
        "iterations": str(entry.iterations),
        "reference, its error": entry.reference,
        "half": entry.half,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="suite", description="The suite's problems.")
    parser.add_argument("--table", action="store_true", required=True, help="print the table")
    parser.add_argument("--write", action="store_true", help="write it into README.md instead")
    given = parser.parse_args()
    if given.write:
        marked.write(README, table=problem_table())
    else:
        print(problem_table())


if __name__ == "__main__":
    main()
