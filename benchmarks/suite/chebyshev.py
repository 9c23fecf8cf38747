"""Equations of second order on an interval and in time, solved without a network.

Chebyshev collocation in x, the implicit method Radau IIA of order 5 in time with a step that is
controlled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from .setup import OnArrays

#: u_t from x, u, u_x and u_xx.
Rate = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]

#: Number of points that are evaluated at a time.
_CHUNK = 2048


@dataclass(frozen=True)
class End:
    """The condition value * u + slope * u_x = given at one end."""

    value: float
    slope: float
    given: float


def collocation(low: float, high: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev's points from `low` to `high`, shape (nodes,), and the matrix of d/dx on them."""
    x = -np.cos(np.pi * np.arange(nodes) / (nodes - 1))
    weights = barycentric(nodes)
    difference = x[:, None] - x[None, :] + np.eye(nodes)
    matrix = weights[None, :] / weights[:, None] / difference
    np.fill_diagonal(matrix, 0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return low + (high - low) * (x + 1) / 2, 2 / (high - low) * matrix


def barycentric(nodes: int) -> np.ndarray:
    """The weights of the interpolating polynomial on Chebyshev's points, shape (nodes,)."""
    weights = (-1.0) ** np.arange(nodes)
    weights[[0, -1]] /= 2
    return weights


def interpolation(x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The matrix from values on the collocation's points to those at `points`, (N, nodes)."""
    difference = points[:, None] - x[None, :]
    rows, columns = np.nonzero(difference == 0)
    difference[rows, columns] = 1
    terms = barycentric(len(x)) / difference
    matrix = terms / terms.sum(axis=1, keepdims=True)
    matrix[rows] = 0
    matrix[rows, columns] = 1
    return matrix


def solve(
    rate: Rate,
    start: Callable[[np.ndarray], np.ndarray],
    interval: tuple[float, float],
    duration: float,
    ends: tuple[End, End],
    nodes: int = 97,
    tolerance: float = 1e-8,
) -> OnArrays:
    """Solves u_t = rate(x, u, u_x, u_xx) for one u.

    Args:
        rate: The right side.
        start: u at t = 0, from x.
        interval: Where x is.
        duration: The last t.
        ends: The conditions at both ends, for t > 0.
        nodes: Of the collocation.
        tolerance: Of the steps in time, relative; the absolute one is a hundredth of it.

    Returns:
        A function from points (N, 2), columns x and t, to u of shape (N, 1).
    """
    x, first = collocation(*interval, nodes)
    second = first @ first
    at_ends = np.zeros((2, nodes))
    for row, (end, place) in enumerate(zip(ends, (0, -1), strict=True)):
        at_ends[row] = end.slope * first[place]
        at_ends[row, place] += end.value
    given = np.array([end.given for end in ends])

    def whole(inside: np.ndarray) -> np.ndarray:
        """With the values at the ends: from (nodes - 2, N) to (nodes, N)."""
        needed = given[:, None] - at_ends[:, 1:-1] @ inside
        outer = np.linalg.solve(at_ends[:, [0, -1]], needed)
        return np.vstack([outer[:1], inside, outer[1:]])

    def slope(_: float, inside: np.ndarray) -> np.ndarray:
        u = whole(inside[:, None])[:, 0]
        return rate(x, u, first @ u, second @ u)[1:-1]

    solved: Any = solve_ivp(
        slope,
        (0, duration),
        start(x[1:-1]),
        "Radau",
        dense_output=True,
        rtol=tolerance,
        atol=tolerance / 100,
    )

    def at(points: np.ndarray) -> np.ndarray:
        times, which = np.unique(points[:, 1], return_inverse=True)
        values = whole(solved.sol(times))[:, which]
        u = (interpolation(x, points[:, 0]) * values.T).sum(axis=1)
        return np.where(points[:, 1] == 0, start(points[:, 0]), u)[:, None]

    def solution(points: np.ndarray) -> np.ndarray:
        points = points.astype(float)
        parts = [at(points[i : i + _CHUNK]) for i in range(0, len(points), _CHUNK)]
        return np.concatenate(parts)

    return solution
