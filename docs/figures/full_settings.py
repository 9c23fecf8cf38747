"""Draws the figure of "Reproducing the papers": errors over the iterations at full settings.

    python docs/figures/full_settings.py

Reads `benchmarks/results/papers`, writes `docs/images/full-settings.png`.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

import matplotlib.pyplot as plt

from deepxde_balance import plots
from deepxde_balance.results.published import published
from deepxde_balance.results.record import read

ROOT = Path(__file__).parents[2]
#: The strategies that are shown, by problem.
SHOWN = {
    "klein-gordon": ["equal", "gw-kurtosis", "db-mean", "db-kurtosis", "auto"],
    "poisson": [
        "equal",
        "gw-mean:alpha=0.01",
        "dn:beta=0.99,bias_correction=false",
        "dn:beta=0.9,bias_correction=false",
        "auto",
    ],
    "burgers": ["equal", "dn:beta=0.99,bias_correction=false", "auto"],
}


def main() -> None:
    records = read(ROOT / "benchmarks/results/papers")
    with plt.rc_context(plots.STYLE):
        figure, axes = plt.subplots(1, len(SHOWN), figsize=(13.5, 5.2), layout="constrained")
        for ax, (problem, strategies) in zip(axes, SHOWN.items(), strict=True):
            for strategy in strategies:
                runs = [r for r in records if (r.problem, r.weights) == (problem, strategy)]
                seeds = "1 seed" if len(runs) == 1 else f"{len(runs)} seeds"
                plots.plot_errors(runs, label=f"{strategy} ({seeds})", ax=ax)
                result = published(problem, strategy)
                if result is not None:
                    color = ax.lines[-1].get_color()
                    ax.axhline(result.mean, color=color, ls=":", lw=1.2)
            ax.plot([], [], color="0.3", ls=":", lw=1.2, label="published mean")
            ax.set_title(problem)
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14))
        figure.savefig(ROOT / "docs/images/full-settings.png")


if __name__ == "__main__":
    main()
