"""A callback that watches the gradients of the loss terms."""

from __future__ import annotations

import importlib
import math
import os
import warnings
from typing import Any

import deepxde as dde
import numpy as np

from .. import _checks
from ..diagnostics.gradient_log import COSINE, CsvFile, GradientLog, Pair, Row, rows_of
from ..diagnostics.measures import Measures, measure, rounded
from ..diagnostics.observation import Observer
from ..terms.groups import LossGroups


class GradientMonitor(dde.callbacks.Callback):
    """Records losses, gradients and weights by group during training, which it does not change.

    For a :class:`~deepxde_balance.Model`, for a stock ``dde.Model``, and for one beside a
    :class:`~deepxde_balance.LossWeighting`. It looks when training begins, then every `period`
    iterations; under L-BFGS, after each step of DeepXDE's that crosses the period. A look costs
    about one iteration with an update of the weights.

    Where training goes on from a checkpoint of :class:`~deepxde_balance.Model`, so does the
    record.

    Args:
        period: Iterations from one look to the next.
        loss_groups: The groups to look at, see :meth:`deepxde_balance.Model.compile`. By default
            those of the strategy; in a stock model and with weight 1 for all, every term by itself.
        csv: A file to write to at every look, with columns ``iteration``, ``quantity``
            (``loss``, ``gradient_norm``, ``weight``, ``share``, ``cosine``), ``group``,
            ``other`` (the other group of a cosine) and ``value``. A run replaces what the file
            holds from its first iteration on.
        tensorboard: A folder for TensorBoard (``pip install deepxde-balance[tensorboard]``).
        warn_ratio: How far the weighted gradient norms of two groups may be apart.
        warn_after: After so many looks in a row with more than that, one warning is given.

    Attributes:
        steps: The iterations, a list that those below are as long as.
        losses: Losses by group, neither weighted nor scaled.
        gradient_norms: Norms of their gradients with respect to the network's parameters.
        weights: Weights by group, see :class:`~deepxde_balance.observation.Observation`.
        shares: Each group's part in the sum of the weighted norms,
            ||lambda_i g_i|| / sum_j ||lambda_j g_j||.
        cosines: Of the gradients of two groups, by pair of names.

    Raises:
        ValueError: If an argument is out of its range, or `csv` is a file of another kind.
        FileNotFoundError: If the folder of `csv` is not there.
        ImportError: If TensorBoard is asked for and not installed.
    """

    def __init__(
        self,
        period: int = 100,
        loss_groups: LossGroups | None = None,
        csv: str | os.PathLike[str] | None = None,
        tensorboard: str | os.PathLike[str] | None = None,
        warn_ratio: float = 100.0,
        warn_after: int = 10,
    ):
        super().__init__()
        self.period = _checks.positive_int("period", period)
        self.loss_groups = loss_groups
        self.warn_ratio = _checks.in_interval("warn_ratio", warn_ratio, 1.0, math.inf, "(]")
        self.warn_after = _checks.positive_int("warn_after", warn_after)
        self.log = GradientLog()
        self._csv = None if csv is None else CsvFile(csv)
        self._board = None if tensorboard is None else _Board(tensorboard)
        self._observer: Observer | None = None
        self._begins = True
        self._last = 0
        self._apart: dict[Pair, int] = {}
        self._warned = False

    @property
    def steps(self) -> list[int]:
        return self.log.steps

    @property
    def losses(self) -> dict[str, list[float]]:
        return self.log.losses

    @property
    def gradient_norms(self) -> dict[str, list[float]]:
        return self.log.gradient_norms

    @property
    def weights(self) -> dict[str, list[float]]:
        return self.log.weights

    @property
    def shares(self) -> dict[str, list[float]]:
        return self.log.shares

    @property
    def cosines(self) -> dict[Pair, list[float]]:
        return self.log.cosines

    def init(self) -> None:
        """Called by DeepXDE with a new model: a new record."""
        self._observer = Observer(self.model, self.loss_groups)
        self.log, self._apart, self._warned = GradientLog(), {}, False

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint of the model keeps."""
        apart = [[strong, weak, number] for (strong, weak), number in self._apart.items()]
        return {"log": self.log.state_dict(), "apart": apart, "warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.log = GradientLog.from_state_dict(state["log"])
        self._apart = {(strong, weak): number for strong, weak, number in state["apart"]}
        self._warned = state["warned"]

    def on_train_begin(self) -> None:
        self._begins = True
        if self._csv is not None:
            self._csv.begin_anew()

    def on_batch_begin(self) -> None:
        """The first look: by now all callbacks have begun, and a checkpoint has been taken up."""
        if self._begins:
            self._begins = False
            self._last = self.model.train_state.step
            if self._last not in self.steps[-1:]:
                self._observe()

    def on_batch_end(self) -> None:
        step = self.model.train_state.step
        if step // self.period > self._last // self.period:
            self._observe()
        self._last = step

    def on_train_end(self) -> None:
        if self._board is not None:
            self._board.close()

    def _observe(self) -> None:
        assert self._observer is not None
        step = self.model.train_state.step
        measures = measure(self._observer())
        rows = rows_of(step, measures)
        self.log.drop_from(step)
        self.log.add(rows)
        if self._csv is not None:
            self._csv.append(rows)
        if self._board is not None:
            self._board.add(rows)
        self._warn_of_imbalance(measures)

    def _warn_of_imbalance(self, measures: Measures) -> None:
        ratios = _ratios_above(self.warn_ratio, measures)
        self._apart = {pair: self._apart.get(pair, 0) + 1 for pair in ratios}
        lasting = [pair for pair, number in self._apart.items() if number >= self.warn_after]
        if not lasting or self._warned:
            return
        self._warned = True
        strong, weak = max(lasting, key=lambda pair: ratios[pair])
        warnings.warn(
            f"The weighted gradient of {weak!r} has been more than {self.warn_ratio:g} times "
            f"smaller than that of {strong!r} in {self.warn_after} observations in a row, at "
            f"iteration {self.steps[-1]} {rounded(ratios[strong, weak])} times: {weak!r} is hardly "
            'learned. Try an adaptive strategy, e.g. loss_weights="db-kurtosis"; split_bc, if '
            "there is one kind of condition only; or, if a strategy's weights cause it, a larger "
            "update_every.",
            stacklevel=2,
        )


def _ratios_above(limit: float, measures: Measures) -> dict[Pair, float]:
    """Pairs of a stronger and a weaker group by the ratio of their weighted gradient norms.

    A norm that is 0 or not finite is not compared: what is met exactly needs no weight.
    """
    norms = measures.weighted_norms
    usable = [i for i in range(len(norms)) if np.isfinite(norms[i]) and norms[i] > 0]
    names = measures.names
    return {
        (names[i], names[j]): float(norms[i] / norms[j])
        for i in usable
        for j in usable
        if norms[i] > limit * norms[j]
    }


class _Board:
    """Scalars for TensorBoard, under ``loss/bc0``, ``cosine/pde, bc0``, ..."""

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = folder
        try:
            self._make = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise ImportError(
                "GradientMonitor(tensorboard=...) needs TensorBoard: "
                "pip install 'deepxde-balance[tensorboard]'"
            ) from error
        self._writer: Any = None

    def add(self, rows: list[Row]) -> None:
        if self._writer is None:  # TensorBoard then hides what a broken run wrote after this step
            self._writer = self._make(os.fspath(self.folder), purge_step=rows[0][0])
        for step, quantity, group, other, value in rows:
            tag = f"{quantity}/{group}, {other}" if quantity == COSINE else f"{quantity}/{group}"
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
