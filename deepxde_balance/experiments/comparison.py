"""The results of a comparison: a table, the best strategy, figures."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import plots
from .._files import replaced
from .user_record import Quantity, UserRecord

#: What a quantity is called in tables and figures.
TITLES: Mapping[Quantity, str] = {
    "metric": "metric",
    "L2RE": "L2RE",
    "criterion": "criterion (a proxy)",
}

#: With more strategies than this, the bands over the seeds would hide the curves.
_MOST_BANDS = 8


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs of several strategies on one problem.

    Args:
        runs: The finished runs of each strategy, by ascending seed.
        failed: The runs that failed: of each strategy the errors' messages by seed.

    Example:
        What :func:`deepxde_balance.compare` returns::

            results = ddb.compare(build, ["equal", "auto"], iterations=5000)
            print(results)  # a table
            model.compile("adam", lr=1e-3, loss_weights=results.best)
    """

    runs: Mapping[str, Sequence[UserRecord]]
    failed: Mapping[str, Mapping[int, str]] = dataclasses.field(default_factory=dict)

    @property
    def quantity(self) -> Quantity:
        """What strategies are ranked by: ``"metric"``, ``"L2RE"`` or ``"criterion"``."""
        return next(run.quantity for runs in self.runs.values() for run in runs)

    @property
    def reference(self) -> str:
        """The strategy whose mean the others are divided by: ``"equal"``, or else the first."""
        return "equal" if "equal" in self.runs else next(iter(self.runs))

    @property
    def best(self) -> str | None:
        """The strategy with the lowest mean over the seeds; ``None`` if all runs diverged.

        A strategy of which a run diverged or failed comes after those of which fewer did.
        """
        ranks = {
            name: (self._without_score(name), self.mean(name))
            for name in self.runs
            if not math.isnan(self.mean(name))
        }
        return min(ranks, key=ranks.__getitem__, default=None)

    def scores(self, strategy: str) -> np.ndarray:
        """The quantity at the end of those runs of a strategy that did not diverge."""
        return np.array([run.score for run in self.runs[strategy] if not run.diverged])

    def mean(self, strategy: str) -> float:
        """The mean of :meth:`scores`; nan if there are none."""
        scores = self.scores(strategy)
        return float(scores.mean()) if len(scores) else math.nan

    def table(self) -> str:
        """A row for each strategy, as Markdown.

        The quantity is the mean ± sample standard deviation over the seeds at the end of training,
        without the runs that diverged. The ratio is that of the means. In the last column is the
        mean time of an iteration.
        """
        titles = ["strategy", TITLES[self.quantity], f"/ {self.reference}", "worst seed"]
        rows = [[*titles, "s/iteration"], *(self._row(name) for name in self.runs)]
        return aligned(rows)

    def __str__(self) -> str:
        number = sum(len(runs) for runs in self.runs.values())
        by = TITLES[self.quantity]
        best = f"Best by {by}: {self.best}." if self.best else f"None has a finite {by}."
        return f"{self.table()}\n\n{number} run{'s' * (number != 1)}. {best}"

    def plot(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Saves figures of the quantity, of the losses and of the weights over the iterations.

        Losses and weights are those of the lowest seed that did not diverge.

        Args:
            folder: The folder to write to; it is made if there is none.

        Returns:
            The paths of the PNG files.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        file = "criterion" if self.quantity == "criterion" else "errors"
        paths = [folder / f"{name}.png" for name in (file, "losses", "weights")]
        with plt.rc_context(plots.STYLE):
            figures = (
                self._quantity_figure(),
                self._panels(plots.plot_losses),
                self._panels(plots.plot_weights),
            )
            for path, figure in zip(paths, figures, strict=True):
                with replaced(path) as beside:
                    figure.savefig(beside, format="png")
        return paths

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the table and the figures to a folder, as ``comparison.md`` and PNG files.

        Returns:
            The path of ``comparison.md``.
        """
        figures = [f"![{path.stem}]({path.name})" for path in self.plot(folder)]
        failures = [
            f"- failed: {name}, seed {seed}: {reason}"
            for name, reasons in self.failed.items()
            for seed, reason in reasons.items()
        ]
        parts = [str(self), *failures, *figures]
        path = Path(folder) / "comparison.md"
        with replaced(path) as beside:
            beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        return path

    def _without_score(self, name: str) -> int:
        """The number of runs that diverged or failed."""
        return len(self.runs[name]) - len(self.scores(name)) + len(self.failed.get(name, ()))

    def _row(self, name: str) -> list[str]:
        runs, scores, mean = self.runs[name], self.scores(name), self.mean(name)
        counts = {
            "diverged": sum(run.diverged for run in runs),
            "failed": len(self.failed.get(name, ())),
        }
        texts = [f"{number} {what}" for what, number in counts.items() if number]
        total = len(runs) + counts["failed"]
        note = f"{', '.join(texts)} of {total}" if texts else ""
        if not len(scores):
            return [name, note, "", "", _seconds(runs)]
        spread = f" ± {scores.std(ddof=1):.1e}" if len(scores) > 1 else ""
        ratio = mean / self.mean(self.reference) if self.mean(self.reference) else math.nan
        worst = max((run for run in runs if not run.diverged), key=lambda run: run.score)
        return [
            name,
            f"{mean:.2e}{spread}" + (f" ({note})" if note else ""),
            "" if math.isnan(ratio) else f"{ratio:.3g}",
            f"{worst.score:.2e} (seed {worst.seed})",
            _seconds(runs),
        ]

    def _quantity_figure(self) -> Figure:
        band = plots.min_max if len(self.runs) <= _MOST_BANDS else None
        figure = Figure(layout="constrained")
        ax = figure.subplots()
        for name, runs in self.runs.items():
            if any(np.isfinite(run.errors[self.quantity]).any() for run in runs):
                plots.plot_errors(list(runs), self.quantity, band, name, ax)
        ax.set_ylabel(TITLES[self.quantity])
        return figure

    def _panels(self, draw: Callable[[UserRecord, Axes], Axes]) -> Figure:
        """A panel for each strategy of which a run is finished."""
        runs = {name: runs for name, runs in self.runs.items() if runs}
        columns = min(len(runs), 3)
        size = (3.6 * max(columns, 2), 2.9 * math.ceil(len(runs) / columns))
        figure = Figure(size, layout="constrained")
        rows = math.ceil(len(runs) / columns)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for ax, (name, own) in zip(axes, runs.items(), strict=False):
            draw(next((run for run in own if not run.diverged), own[0]), ax)
            ax.set_title(name, fontsize=11 * min(1, 32 / len(name)))
            ax.tick_params(labelbottom=True, labelleft=True)
        for ax in axes[len(runs) :]:
            ax.remove()
        return figure


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows, the titles first, whose columns are aligned: the first left."""
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(row, widths) for row in [rows[0], rule, *rows[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "| " + " | ".join([first, *rest]) + " |"


def _seconds(runs: Sequence[UserRecord]) -> str:
    return f"{np.mean([run.seconds_per_iteration for run in runs]):.2g}" if runs else ""
