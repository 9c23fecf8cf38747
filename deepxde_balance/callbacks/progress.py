"""A callback that shows a progress bar."""

from __future__ import annotations

import sys
from typing import Any

import deepxde as dde
import numpy as np
from tqdm.auto import tqdm
from tqdm.notebook import tqdm as notebook_tqdm

from .. import _checks
from ..point_weightings import Causal
from ..ranks import is_first
from ..training.run import run_of

#: Seconds between two updates of a bar in a log file, where every update is a new line.
LOG_INTERVAL = 30.0

_IN_NOTEBOOK = issubclass(tqdm, notebook_tqdm)


class Progress(dde.callbacks.Callback):
    """Shows a tqdm progress bar over the iterations.

    The bar ends with the sum of the losses, the metrics if the model has any, and the largest
    weight, each as DeepXDE last recorded it (see `display_every` of ``train``); with causal point
    weights also with the smallest of them, which is 1 when all times are learned. It works on a
    terminal, in a notebook and, with fewer updates, in a log file; the lines of DeepXDE's table
    stand above it.

    The bar goes on where it was if training goes on from a checkpoint of
    :class:`~deepxde_balance.Model`, or if the same object is given to the next ``train`` after
    training was stopped.

    Args:
        iterations: The number of iterations; ``None`` if it is not known.
        description: A text in front of the bar.

    Raises:
        ValueError: If `iterations` is not a positive integer.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("dn", verbose=0)
        >>> bar = ddb.Progress(20, description="harmonic")
        >>> losshistory, train_state = model.train(iterations=20, callbacks=[bar], verbose=0)
    """

    def __init__(self, iterations: int | None = None, description: str | None = None):
        super().__init__()
        if iterations is not None:
            iterations = _checks.positive_int("iterations", iterations)
        self.iterations = iterations
        self.description = description
        self._bar: tqdm | None = None
        #: The model's iteration at the start of the bar.
        self._start: int | None = None
        #: The number of DeepXDE's records when the losses were last shown.
        self._shown = 0
        #: When the bar had last been written, when its line in a log file was ended.
        self._ended_line_at = 0.0

    def init(self) -> None:
        """Called by DeepXDE with a new model: the next training starts a new bar."""
        self._start = None

    def state_dict(self) -> dict[str, Any]:
        """The state of the bar, for a checkpoint of the model."""
        return {"start": self._start}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads what :meth:`state_dict` returned."""
        self._start = state["start"]
        if self._bar is not None and self._start is not None:  # `on_train_begin` opened it at 0
            done = self.model.train_state.step - self._start
            self._bar.n = self._bar.initial = self._bar.last_print_n = done
            self._bar.refresh()

    def on_train_begin(self) -> None:
        self._close()  # after an exception DeepXDE does not call `on_train_end`
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
            disable=not is_first(),
        )
        self._show_record()
        self._make_way_for_the_table()

    def _make_way_for_the_table(self) -> None:
        """Lets each line of DeepXDE's table be a line of its own, until the bar is closed."""
        model, test = self.model, type(self.model)._test

        def beside_bar(verbose: int = 1) -> None:
            if self not in model.callbacks.callbacks:  # after a training that was interrupted
                del model._test
                if self.model is model:
                    self._close()
                test(model, verbose=verbose)
            elif self._bar is None or verbose == 0 or _IN_NOTEBOOK:
                test(model, verbose=verbose)
            elif _on_terminal():
                with tqdm.external_write_mode():  # clears the bar, and shows it again after
                    test(model, verbose=verbose)
            else:
                if self._bar.last_print_t != self._ended_line_at:
                    self._bar.fp.write("\n")
                    self._bar.fp.flush()
                    self._ended_line_at = self._bar.last_print_t
                test(model, verbose=verbose)

        model._test = beside_bar

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
            if "_test" in vars(self.model):  # not that of another model, after an exception
                del self.model._test

    def _show_record(self) -> None:
        """Shows DeepXDE's last record after the bar, without waiting for the device."""
        assert self._bar is not None
        self._shown = len(self.model.losshistory.steps)
        self._bar.set_postfix(_last_record(self.model), refresh=False)


def _last_record(model: dde.Model) -> dict[str, str]:
    """The losses, metrics and largest weight that DeepXDE last recorded, as texts by name."""
    state = model.train_state
    shown = {} if state.loss_train is None else {"loss": f"{np.sum(state.loss_train):.2e}"}
    values = np.ravel([] if state.metrics_test is None else state.metrics_test)
    functions = model.metrics or []
    for i, value in enumerate(values):
        # With several outputs there is one value for each metric and output.
        function = functions[i * len(functions) // len(values)]
        name = getattr(function, "__name__", "metric")
        outputs = len(values) // len(functions)
        shown[name if outputs == 1 else f"{name} {i % outputs}"] = f"{value:.2e}"
    weights = (getattr(model.losshistory, "loss_weights", None) or [{}])[-1]
    if any(weight != 1 for weight in weights.values()):
        largest = max(weights, key=lambda name: weights[name])
        shown["weight"] = f"{largest} {weights[largest]:.3g}"
    step = run_of(model).step
    for rule in [] if step is None else step.rules_beside.values():
        if isinstance(rule, Causal):
            shown["causal"] = f"{rule.progress:.2g}"  # the smallest weight
    return shown


def refresh_interval() -> float:
    """Seconds between two updates of a bar; longer in a log file, where each is a new line."""
    return 0.1 if _IN_NOTEBOOK or _on_terminal() else LOG_INTERVAL


def _on_terminal() -> bool:
    return sys.stderr.isatty()
