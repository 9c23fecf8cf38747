"""Mini-batches of residual points."""

from __future__ import annotations

from typing import Any

import deepxde as dde
import numpy as np


class PooledTimePDE(dde.data.TimePDE):
    """A ``TimePDE`` whose residual points can be a random part of a fixed pool.

    At first they are the whole pool, which also stays what is tested.

    Args:
        geometry: The geometry.
        pde: The residual.
        conditions: The IC/BC objects.
        pool: Residual points, shape (N, d).
        batch_size: Points in a mini-batch, at most N.
    """

    def __init__(
        self, geometry: Any, pde: Any, conditions: list[Any], pool: np.ndarray, batch_size: int
    ):
        super().__init__(geometry, pde, conditions, anchors=pool)
        if not 0 < batch_size <= len(pool):
            raise ValueError(
                f"batch_size={batch_size!r} is not allowed: it must be from 1 to {len(pool)}."
            )
        self.pool = self.train_x_all
        self.batch_size = batch_size

    def draw(self) -> None:
        """Takes other residual points, by NumPy's global random state; the conditions' stay."""
        chosen = np.random.choice(len(self.pool), size=self.batch_size, replace=False)
        self.replace_with_anchors(self.pool[chosen])


class MiniBatches(dde.callbacks.Callback):
    """Draws a mini-batch for every iteration, for models on a :class:`PooledTimePDE`.

    It holds no state: with the random state restored, a run goes on with the same mini-batches.
    """

    def on_batch_begin(self) -> None:
        self.model.data.draw()
