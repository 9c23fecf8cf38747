"""The results of a search: a table of its calls, the best of them, a figure."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .. import plots
from .._files import replaced
from .comparison import TITLES, aligned
from .search_space import Point
from .user_record import Quantity, UserRecord


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A point of a search and its runs.

    Args:
        point: The weights or options that were tried, by name.
        loss_weights: The same as `compile` takes it: a list of weights, or a strategy's word.
        runs: The finished runs, by ascending seed.
        failed: The messages of the runs that failed, by seed.
    """

    point: Point
    loss_weights: str | list[float]
    runs: Sequence[UserRecord]
    failed: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def value(self) -> float:
        """The mean over the seeds; nan if a run diverged or failed."""
        if self.failed or any(run.diverged for run in self.runs):
            return math.nan
        return float(np.mean([run.score for run in self.runs]))


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The calls of a search for weights or options.

    Args:
        calls: The calls in their order. At least one has a finite value.

    Example:
        What :func:`deepxde_balance.tune` returns::

            found = ddb.tune(build, {"bc0": (1, 1e4)}, calls=20, iterations=5000)
            print(found)  # a table
            model.compile("adam", lr=1e-3, loss_weights=found.best)
    """

    calls: Sequence[Call]

    @property
    def quantity(self) -> Quantity:
        """What the calls are ranked by: ``"metric"``, ``"L2RE"`` or ``"criterion"``."""
        return next(run.quantity for call in self.calls for run in call.runs)

    @property
    def best_call(self) -> Call:
        """The call with the lowest value."""
        return min(
            (call for call in self.calls if not math.isnan(call.value)),
            key=lambda call: call.value,
        )

    @property
    def best(self) -> str | list[float]:
        """The best weights or strategy, for ``compile(loss_weights=...)``.

        Fixed weights are a list with a number for each loss term, as DeepXDE takes them, too. With
        such a list, leave `loss_groups` out.
        """
        return self.best_call.loss_weights

    @property
    def best_point(self) -> Point:
        """The best weights or options by name."""
        return self.best_call.point

    @property
    def value(self) -> float:
        """The value of the best call: its mean over the seeds at the end of training."""
        return self.best_call.value

    def table(self) -> str:
        """A row for each call, as Markdown: the best first, those without a value last."""
        names = list(self.calls[0].point)
        order = sorted(
            range(len(self.calls)),
            key=lambda i: (math.isnan(self.calls[i].value), self.calls[i].value),
        )
        rows = [["call", *names, TITLES[self.quantity]]]
        for i in order:
            call = self.calls[i]
            rows.append([str(i + 1), *(_text(call.point[name]) for name in names), _result(call)])
        return aligned(rows)

    def __str__(self) -> str:
        number = 1 + self.calls.index(self.best_call)
        title = TITLES[self.quantity]
        return (
            f"{self.table()}\n\n{len(self.calls)} calls. Best by {title}: call {number}, "
            f"{self.value:.2e}, with loss_weights={self.best!r}."
        )

    def plot(self, folder: str | os.PathLike[str]) -> Path:
        """Saves a figure of the calls' values and of the best value so far.

        Args:
            folder: The folder to write to; it is made if there is none.

        Returns:
            The path of the PNG file.
        """
        values = np.array([call.value for call in self.calls])
        numbers = np.arange(1, len(values) + 1)
        bad = np.isnan(values)
        path = Path(folder) / "tuning.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with plt.rc_context(plots.STYLE):
            figure = Figure(layout="constrained")
            ax = figure.subplots()
            best = np.fmin.accumulate(values)
            ax.step(numbers, best, where="post", linestyle="-", label="best so far")
            ax.plot(numbers, values, "o", label="call")
            if bad.any():
                for number in numbers[bad]:
                    ax.axvline(number, color="0.7", linestyle=":")
                ax.plot([], [], color="0.7", linestyle=":", label="diverged or failed")
            if np.nanmin(values) > 0:
                ax.set_yscale("log")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.set_xlabel("call")
            ax.set_ylabel(TITLES[self.quantity])
            ax.legend()
            with replaced(path) as beside:
                figure.savefig(beside, format="png")
        return path

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the table and the figure to a folder, as ``tuning.md`` and ``tuning.png``.

        Returns:
            The path of ``tuning.md``.
        """
        figure = self.plot(folder)
        failures = [
            f"- failed: call {number}, seed {seed}: {reason}"
            for number, call in enumerate(self.calls, 1)
            for seed, reason in call.failed.items()
        ]
        parts = [str(self), *failures, f"![{figure.stem}]({figure.name})"]
        path = Path(folder) / "tuning.md"
        with replaced(path) as beside:
            beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        return path


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _result(call: Call) -> str:
    """The mean and the sample standard deviation over the seeds, or how many are without."""
    diverged = sum(run.diverged for run in call.runs)
    counts = {"diverged": diverged, "failed": len(call.failed)}
    texts = [f"{number} {what}" for what, number in counts.items() if number]
    if texts:
        return f"{', '.join(texts)} of {len(call.runs) + len(call.failed)}"
    scores = [run.score for run in call.runs]
    spread = f" ± {np.std(scores, ddof=1):.1e}" if len(scores) > 1 else ""
    return f"{call.value:.2e}{spread}"
