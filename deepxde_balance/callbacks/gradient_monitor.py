"""A callback that observes the gradients of the loss terms during training."""

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
from ..ranks import is_first
from ..terms.groups import LossGroups
from ..training.run import present_point_weights


class GradientMonitor(dde.callbacks.Callback):
    """Observes losses, gradients and weights by group during training.

    It works with a :class:`~deepxde_balance.Model` and with a stock ``dde.Model``, also beside a
    :class:`~deepxde_balance.LossWeighting`, and does not change the training. The first
    observation is at the first iteration, then there is one every `period` iterations. Under
    L-BFGS, DeepXDE makes many iterations in a step, and an observation follows each step that
    passes a multiple of `period`. An observation takes about as long as an iteration that updates
    the weights.

    If training goes on from a checkpoint of :class:`~deepxde_balance.Model`, the lists below do
    too.

    Args:
        period: Iterations from one observation to the next.
        loss_groups: The groups to observe, see :meth:`deepxde_balance.Model.compile`. By default
            the strategy's groups; but every term by itself in a stock model, and in a model that
            is compiled without a strategy and without `loss_groups`.
        csv: A file to which every observation is appended, with columns ``iteration``,
            ``quantity`` (``loss``, ``gradient_norm``, ``weight``, ``share``, ``cosine``,
            and ``largest_``, ``mean_`` and ``smallest_point_weight`` of a term), ``group``,
            ``other`` (the other group of a cosine) and ``value``. Training removes the rows of its
            first iteration and later ones from an existing file.
        tensorboard: A folder for TensorBoard (``pip install deepxde-balance[tensorboard]``).
        warn_ratio: Largest ratio of two groups' weighted gradient norms that needs no warning,
            above 1.
        warn_after: Number of observations in a row above `warn_ratio` after which the one warning
            is given.

    Attributes:
        steps: The iterations of the observations. Each list below has one value for each of them.
        losses: The losses by group, without weights, with the factors of the strategy's `scale`.
        gradient_norms: The 2-norms of the gradients of these losses with respect to the network's
            parameters, by group.
        weights: The weights by group, those of `model.weights` where the groups are the strategy's.
        shares: ||lambda_i g_i|| / sum_j ||lambda_j g_j|| by group, the share of the group's
            weighted gradient norm.
        cosines: The cosine between the gradients of two groups, by pair of names.
        largest_point_weights: The largest weight of a point, by term; empty without point weights.
            Losses and gradients here are without point weights.
        mean_point_weights: The mean weight of the points, by term.
        smallest_point_weights: The smallest weight of a point, by term; under ``"causal"`` how far
            the training has got.

    Raises:
        ValueError: If an argument is out of its range, or `csv` is a file of another kind.
        FileNotFoundError: If the folder of `csv` does not exist.
        ImportError: If `tensorboard` is given and TensorBoard is not installed.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("dn", verbose=0)
        >>> monitor = ddb.GradientMonitor(period=10)
        >>> losshistory, train_state = model.train(iterations=20, callbacks=[monitor], verbose=0)
        >>> monitor.steps, list(monitor.losses)
        ([0, 10, 20], ['pde', 'ic'])
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
        self._csv = CsvFile(csv) if csv is not None and is_first() else None
        self._board = _Board(tensorboard) if tensorboard is not None and is_first() else None
        self._observer: Observer | None = None
        #: Whether this training has had no iteration yet.
        self._begins = True
        #: The iteration at the end of the last step.
        self._last = 0
        #: For each pair above `warn_ratio` the number of observations in a row.
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

    @property
    def largest_point_weights(self) -> dict[str, list[float]]:
        return self.log.largest_point_weights

    @property
    def mean_point_weights(self) -> dict[str, list[float]]:
        return self.log.mean_point_weights

    @property
    def smallest_point_weights(self) -> dict[str, list[float]]:
        return self.log.smallest_point_weights

    def init(self) -> None:
        """Called by DeepXDE with a new model: empties the log."""
        self._observer = Observer(self.model, self.loss_groups)
        self.log, self._apart, self._warned = GradientLog(), {}, False

    def state_dict(self) -> dict[str, Any]:
        """The state of the monitor, for a checkpoint of the model."""
        apart = [[strong, weak, number] for (strong, weak), number in self._apart.items()]
        return {"log": self.log.state_dict(), "apart": apart, "warned": self._warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Loads what :meth:`state_dict` returned."""
        self.log = GradientLog.from_state_dict(state["log"])
        self._apart = {(strong, weak): number for strong, weak, number in state["apart"]}
        self._warned = state["warned"]

    def on_train_begin(self) -> None:
        self._begins = True
        if self._csv is not None:
            self._csv.begin_training()

    def on_batch_begin(self) -> None:
        # The first observation is here, not in `on_train_begin`, where other callbacks still
        # change the model, and after which a restored checkpoint takes effect.
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
        rows = rows_of(step, measures, present_point_weights(self.model))
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
            'learned. Try an adaptive strategy, e.g. loss_weights="auto"; split_bc, if '
            "there is one kind of condition only; or, if a strategy's weights cause it, a larger "
            "update_every.",
            stacklevel=2,
        )


def _ratios_above(limit: float, measures: Measures) -> dict[Pair, float]:
    """The ratio of weighted gradient norms of each pair where it is above the limit.

    A pair is a stronger and a weaker group. A norm that is not finite is not compared, nor one
    that is 0: a condition that is met exactly needs no weight.
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
    """Writes observations for TensorBoard, tagged ``loss/bc0``, ``cosine/pde, bc0``, ..."""

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
        if self._writer is None:
            # `purge_step` hides what a run that was killed has written for later iterations.
            self._writer = self._make(os.fspath(self.folder), purge_step=rows[0][0])
        for step, quantity, group, other, value in rows:
            tag = f"{quantity}/{group}, {other}" if quantity == COSINE else f"{quantity}/{group}"
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
