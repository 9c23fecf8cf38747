"""Draws the suite's ratios to equal weights, a row for each problem: "Which strategy?".

    python docs/figures/suite_ratios.py

Reads `benchmarks/results/suite`, writes `docs/images/suite.png`.
"""

# ruff: noqa: E402 - the suite is no package that is installed
from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import matplotlib.pyplot as plt
from suite import PROBLEMS
from suite.run import RESULTS
from suite.tables import ratios

from deepxde_balance import plots

STRATEGIES = {"capu": "v", "db-kurtosis": "s", "ntk": "D", "auto": "o"}


def main() -> None:
    found = ratios(list(PROBLEMS), RESULTS)
    names = sorted(PROBLEMS, key=lambda name: found["auto"][name], reverse=True)
    with plt.rc_context(plots.STYLE):
        figure, ax = plt.subplots(figsize=(7.2, 7.6), layout="constrained")
        for (strategy, marker), color in zip(STRATEGIES.items(), plots.COLORS[3::-1], strict=True):
            x = [found[strategy][name] for name in names]
            size = 60 if strategy == "auto" else 26
            ax.scatter(x, names, s=size, marker=marker, color=color, label=strategy, zorder=3)
        ax.axvline(1, color="black", lw=1)
        ax.set(xscale="log", xlabel="error over that of equal weights (left is better)")
        ax.margins(y=0.02)
        ax.legend(loc="lower left")
        figure.savefig(ROOT / "docs/images/suite.png")


if __name__ == "__main__":
    main()
