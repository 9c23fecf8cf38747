"""Callbacks that record errors, and of a benchmark problem coefficients and histograms, too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import deepxde as dde
import numpy as np

from ..diagnostics.observation import observe
from ..problems import Problem

#: The number of bins in a histogram of gradient entries.
BINS = 101

#: Fractions of Adam's iterations after which histograms are taken; there is one at the end, too.
_HISTOGRAMS_AFTER = (0.0, 0.1, 0.5)


class ErrorRecorder(dde.callbacks.Callback):
    """Records errors whenever DeepXDE records the losses, and the time of training.

    The state is part of the model's checkpoints.

    Args:
        measure: The errors of a model by name.
    """

    def __init__(self, measure: Callable[[dde.Model], Mapping[str, float]]):
        super().__init__()
        self.measure = measure
        self.errors: dict[str, list[float]] = {}
        #: The number of records so far.
        self.recorded = 0
        #: The time of training with and without the time for recording.
        self.seconds = 0.0
        self.training_seconds = 0.0
        #: The clock when time was last added to them.
        self._since = 0.0

    def state_dict(self) -> dict[str, Any]:
        self._count_time(training=True)
        return {
            "errors": self.errors,
            "recorded": self.recorded,
            "seconds": self.seconds,
            "training_seconds": self.training_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._since = time.perf_counter()

    def on_train_begin(self) -> None:
        self._since = time.perf_counter()
        self._record()

    def on_batch_end(self) -> None:
        self._record()

    def on_train_end(self) -> None:
        self._count_time(training=True)

    def _record(self) -> None:
        new = len(self.model.losshistory.steps) - self.recorded
        if not new:
            return
        self._count_time(training=True)
        self._take(new)
        self.recorded += new
        self._count_time(training=False)

    def _take(self, new: int) -> None:
        """Adds the present errors, `new` times."""
        append(self.errors, self.measure(self.model), new)

    def _count_time(self, training: bool) -> None:
        """Adds the time since the last call, as time of training or of recording."""
        now = time.perf_counter()
        self.seconds += now - self._since
        self.training_seconds += (now - self._since) * training
        self._since = now


def append(series: dict[str, list[float]], values: Mapping[str, float], times: int) -> None:
    """Appends each value `times` times to the series of its name."""
    for name, value in values.items():
        series.setdefault(name, []).extend([value] * times)


class Recorder(ErrorRecorder):
    """Records errors, identified coefficients and gradient histograms of a benchmark problem.

    Args:
        problem: The problem that is trained.
    """

    def __init__(self, problem: Problem):
        super().__init__(problem.errors)
        self.problem = problem
        self.coefficients: dict[str, list[float]] = {}
        self.histograms: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        more = {"coefficients": self.coefficients, "histograms": self.histograms}
        return super().state_dict() | more

    def finish(self) -> None:
        """Takes the histograms at the end of the run."""
        self._take_histograms(self.model.train_state.step)

    def _take(self, new: int) -> None:
        super()._take(new)
        append(self.coefficients, self.problem.coefficients(self.model), new)
        taken, step = len(self.histograms), self.model.losshistory.steps[-1]
        after = _HISTOGRAMS_AFTER
        if taken < len(after) and step >= after[taken] * self.problem.iterations:
            self._take_histograms(step)

    def _take_histograms(self, step: int) -> None:
        """Adds a histogram of each group's unweighted gradient."""
        names, _, gradients, _ = observe(self.model)
        edges, counts = [], []
        for i in range(len(names)):
            row = gradients.values[i]
            row = row if gradients.used is None else row[gradients.used[i]]
            values = row.double().cpu().numpy()
            largest = float(np.abs(values).max(initial=0.0))
            limit = largest if largest > 0 and math.isfinite(largest) else 1.0
            number, edge = np.histogram(values[np.isfinite(values)], BINS, (-limit, limit))
            counts.append(number)
            edges.append(edge)
        self.histograms.append(
            {
                "step": step,
                "names": list(names),
                "edges": np.array(edges),
                "counts": np.array(counts),
            }
        )
