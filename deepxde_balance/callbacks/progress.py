"""A progress bar."""

from __future__ import annotations

import sys
from typing import Any

import deepxde as dde
import numpy as np
from tqdm.auto import tqdm
from tqdm.notebook import tqdm as notebook_tqdm

from .. import _checks

#: Seconds from one refreshment to the next, where each is a new line: in a log file.
LOG_INTERVAL = 30.0

_IN_NOTEBOOK = issubclass(tqdm, notebook_tqdm)


class Progress(dde.callbacks.Callback):
    """A tqdm progress bar over the iterations.

    Behind it stand the sum of the losses, the metrics if the model has any, and the largest
    weight, as DeepXDE has recorded them last: see `display_every` of ``train``. It works on a
    terminal, in a notebook and, with few lines, in a log file.

    Where training goes on from a checkpoint of :class:`~deepxde_balance.Model`, or with the same
    object after it was stopped, the bar goes on too.

    Args:
        iterations: How many there will be; ``None`` if that is not known.
        description: What stands in front of the bar.

    Raises:
        ValueError: If `iterations` is no positive integer.
    """

    def __init__(self, iterations: int | None = None, description: str | None = None):
        super().__init__()
        if iterations is not None:
            iterations = _checks.positive_int("iterations", iterations)
        self.iterations = iterations
        self.description = description
        self._bar: tqdm | None = None
        self._start: int | None = None
        self._shown = 0

    def init(self) -> None:
        """Called by DeepXDE with a new model: a new bar."""
        self._start = None

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of the model keeps: the iteration where the bar begins."""
        return {"start": self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._start = state["start"]
        if self._bar is not None and self._start is not None:  # open already, from 0
            done = self.model.train_state.step - self._start
            self._bar.n = self._bar.initial = self._bar.last_print_n = done
            self._bar.refresh()

    def on_train_begin(self) -> None:
        self._close()  # one that an exception has left open: DeepXDE tells no callback of it
        step, start = self.model.train_state.step, self._start
        if start is None or self.iterations is None or step - start >= self.iterations:
            self._start = start = step
        self._bar = tqdm(
            total=self.iterations,
            initial=step - start,
            desc=self.description,
            unit="it",
            mininterval=refresh_interval(),
            dynamic_ncols=True,
        )
        self._show_record()

    def on_batch_end(self) -> None:
        assert self._bar is not None and self._start is not None
        if len(self.model.losshistory.steps) != self._shown:
            self._show_record()
        self._bar.update(self.model.train_state.step - self._start - self._bar.n)

    def on_train_end(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show_record(self) -> None:
        """Puts the last record behind the bar; all of it is on the host already."""
        assert self._bar is not None
        self._shown = len(self.model.losshistory.steps)
        self._bar.set_postfix(_record(self.model), refresh=False)


def _record(model: dde.Model) -> dict[str, str]:
    """What stands behind the bar."""
    state = model.train_state
    shown = {} if state.loss_train is None else {"loss": f"{np.sum(state.loss_train):.2e}"}
    values = np.ravel([] if state.metrics_test is None else state.metrics_test)
    functions = model.metrics or []
    for i, value in enumerate(values):
        # Data with several outputs have one value for each output and metric.
        function = functions[i * len(functions) // len(values)]
        name = getattr(function, "__name__", "metric")
        outputs = len(values) // len(functions)
        shown[name if outputs == 1 else f"{name} {i % outputs}"] = f"{value:.2e}"
    weights = (getattr(model.losshistory, "loss_weights", None) or [{}])[-1]
    if any(weight != 1 for weight in weights.values()):
        largest = max(weights, key=lambda name: weights[name])
        shown["weight"] = f"{largest} {weights[largest]:.3g}"
    return shown


def refresh_interval() -> float:
    """Seconds from one refreshment of a bar to the next, longer where it can't be overwritten."""
    return 0.1 if _IN_NOTEBOOK or sys.stderr.isatty() else LOG_INTERVAL
