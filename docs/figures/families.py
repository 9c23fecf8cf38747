"""Draws a figure for each family of strategies: errors and weights on the harmonic oscillator.

    python docs/figures/families.py

Reads `benchmarks/results/papers/harmonic` (2000 iterations, 5 seeds), writes
`docs/images/family-*.png`.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

import matplotlib.pyplot as plt

from deepxde_balance import plots
from deepxde_balance.results.record import read

ROOT = Path(__file__).parents[2]
FAMILIES = {
    "gradient-weighting": ["equal", "gw-mean", "gw-kurtosis", "dn", "db-mean", "db-kurtosis"],
    "kernel": ["equal", "ntk", "ntk-exact"],
    "losses": ["equal", "relobralo", "softadapt"],
    "learned": ["equal", "uw", "sa-term", "sa", "gradnorm"],
    "directions": ["equal", "grad-norm", "config"],
    "constraints": ["equal", "capu"],
}


def main() -> None:
    records = [r for r in read(ROOT / "benchmarks/results/papers") if r.problem == "harmonic"]
    with plt.rc_context(plots.STYLE):
        for family, strategies in FAMILIES.items():
            figure, (errors, weights) = plt.subplots(1, 2, figsize=(8.4, 3.3), layout="constrained")
            for strategy in strategies:
                runs = [r for r in records if r.weights == strategy]
                band = None if len(strategies) > 4 else plots.min_max
                plots.plot_errors(runs, band=band, label=strategy, ax=errors)
                run = min(runs, key=lambda run: run.seed)
                ratio = run.loss_weights["ic"] / run.loss_weights["pde"]
                weights.plot(run.steps, abs(ratio), label=strategy)
            errors.set_title("error, mean over 5 seeds")
            weights.set(yscale="log", xlabel="iteration", ylabel="weight of ic / weight of pde")
            weights.set_title("weights, seed 0")
            errors.legend()
            figure.savefig(ROOT / f"docs/images/family-{family}.png")
            plt.close(figure)


if __name__ == "__main__":
    main()
