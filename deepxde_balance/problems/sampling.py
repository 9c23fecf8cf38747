"""Functions that place the problems' points."""

from __future__ import annotations

from collections.abc import Sequence

import deepxde as dde
import numpy as np

Corner = Sequence[float]

#: Points in each direction of the grid from which the DB experiments draw their points.
GRID_SIZE = 1001


def grid(low: Corner, high: Corner, n: int) -> np.ndarray:
    """n equispaced points in each of d directions, ends included, shape (n**d, d), ij-indexed."""
    axes = [np.linspace(a, b, n) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def draw_from_grid(rng: np.random.Generator, low: Corner, high: Corner, number: int) -> np.ndarray:
    """Distinct random points of a 1001 x 1001 grid, as in the DB paper, shape (number, 2)."""
    chosen = rng.choice(GRID_SIZE**2, size=number, replace=False)
    return grid(low, high, GRID_SIZE)[chosen]


def draw_uniform(rng: np.random.Generator, low: Corner, high: Corner, number: int) -> np.ndarray:
    """Uniformly random points in a box, shape (number, d)."""
    return rng.uniform(low, high, size=(number, len(low)))


def edge(axis: int, at: float, low: float, high: float, number: int) -> np.ndarray:
    """Equispaced points on the line x[axis] = at, shape (number, 2).

    The other coordinate runs from `low` to `high`, both included.
    """
    points = np.full((number, 2), float(at))
    points[:, 1 - axis] = np.linspace(low, high, number)
    return points


def space_time(low: float, high: float) -> dde.geometry.GeometryXTime:
    """The domain low < x < high, 0 < t < 1."""
    return dde.geometry.GeometryXTime(
        dde.geometry.Interval(low, high), dde.geometry.TimeDomain(0, 1)
    )
