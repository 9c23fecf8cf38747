"""Mini-batches of residual points."""

from __future__ import annotations

from typing import Any

import deepxde as dde
import numpy as np


class PooledTimePDE(dde.data.TimePDE):
    """A ``TimePDE`` that can draw mini-batches of residual points from a fixed pool.

    Until the first draw, all points of the pool are residual points. The test points are always
    the whole pool.

    Args:
        geometry: The geometry.
        pde: The residual.
        conditions: The IC/BC objects.
        pool: The pool of residual points, shape (N, d).
        batch_size: Number of points in a mini-batch, from 1 to N.

    Raises:
        ValueError: If `batch_size` is out of its range.
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
        """Draws a mini-batch of residual points with NumPy's global random state.

        The points of the conditions do not change.
        """
        chosen = np.random.choice(len(self.pool), size=self.batch_size, replace=False)
        self.replace_with_anchors(self.pool[chosen])


class MiniBatches(dde.callbacks.Callback):
    """Draws a mini-batch in every iteration, for a model on a :class:`PooledTimePDE`.

    The callback has no state: a checkpoint restores NumPy's random state, and with it the
    mini-batches that follow.
    """

    def on_batch_begin(self) -> None:
        self.model.data.draw()
