"""The lid-driven cavity, by a stream-function/vorticity solver.

Steady flow in [0, 1]^2: u = psi_y, v = -psi_x, omega = -(psi_xx + psi_yy) and
u omega_x + v omega_y = (omega_xx + omega_yy) / Re; no slip, the lid y = 1 moves with u = 1.

The solver uses second-order differences. In the lid's corners the velocity jumps and the vorticity
is infinite. The grid is graded towards the walls (its smallest cell is 7e-5 wide), so that few
cells are affected. The vorticity is eliminated from the equations. Inside, it is replaced by its
definition. On a wall, it comes from a cubic polynomial along the normal, which has the wall's psi
and velocity and goes through psi at the next two points; this is of second order (one point would
give Thom's formula). Newton's method with a sparse factorisation solves the equations for psi. The
solutions on two grids, one nested in the other, are extrapolated to fourth order.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import RectBivariateSpline
from scipy.sparse.linalg import splu

from .cache import cached

REYNOLDS = 100.0

#: Bound on the relative L2 error of the speed on 100 x 100 points, see benchmarks/references.py.
ERROR = 3e-4

_CELLS = 96
_VERSION = 1
_MAX_NEWTON_STEPS = 20


def velocity(x: np.ndarray) -> np.ndarray:
    """u and v at points of shape (N, 2) in [0, 1]^2, shape (N, 2)."""
    u, v = _splines()
    return np.stack([u.ev(x[:, 0], x[:, 1]), v.ev(x[:, 0], x[:, 1])], axis=1)


def nodes(cells: int) -> np.ndarray:
    """The graded grid in one direction, shape (cells + 1,); a subset of the grid of 2 * cells."""
    return (1 - np.cos(np.pi * np.arange(cells + 1) / cells)) / 2


def extrapolated(cells: int) -> np.ndarray:
    """u and v, extrapolated from two grids of `cells` and 2 * `cells` cells in each direction.

    Returns:
        u and v on the coarser grid, shape (2, cells + 1, cells + 1).
    """
    coarse, fine = solve(cells), solve(2 * cells)[:, ::2, ::2]
    refined: np.ndarray = (4 * fine - coarse) / 3
    return refined


def interpolate(velocities: np.ndarray) -> tuple[RectBivariateSpline, RectBivariateSpline]:
    """Splines of u and v from their values on the graded grid, shape (2, n, n)."""
    x = nodes(velocities.shape[1] - 1)
    u, v = (RectBivariateSpline(x, x, values) for values in velocities)
    return u, v


def solve(cells: int, reynolds: float = REYNOLDS) -> np.ndarray:
    """u and v on the graded grid of one resolution.

    Args:
        cells: Number of cells in each direction.
        reynolds: The Reynolds number. Newton's method starts from rest, and must converge.

    Returns:
        u and v at (x_i, y_j), shape (2, cells + 1, cells + 1). The lid's corners move with the
        lid.

    Raises:
        RuntimeError: If Newton's method does not converge.
    """
    x = nodes(cells)
    n = cells + 1
    d1, d2 = _differences(x)
    eye = sp.identity(n, format="csr")
    inner = np.zeros((n, n), dtype=bool)
    inner[1:-1, 1:-1] = True
    rows = np.flatnonzero(inner)
    # Matrices from psi at the inner nodes (psi is 0 on the walls) to the derivatives of psi at the
    # inner nodes, and to omega at all nodes.
    d_x, d_y = sp.kron(d1, eye, "csr"), sp.kron(eye, d1, "csr")
    laplacian = (sp.kron(d2, eye) + sp.kron(eye, d2)).tocsr()
    psi_x, psi_y = d_x[rows][:, rows], d_y[rows][:, rows]
    vorticity, lid = _vorticity(x, laplacian, rows)
    omega_x, omega_y = d_x[rows] @ vorticity, d_y[rows] @ vorticity
    diffusion = laplacian[rows] @ vorticity / reynolds
    lid_x, lid_y, lid_diffusion = d_x[rows] @ lid, d_y[rows] @ lid, laplacian[rows] @ lid / reynolds

    psi = np.zeros(len(rows))
    for _ in range(_MAX_NEWTON_STEPS):
        u, v = psi_y @ psi, -(psi_x @ psi)
        w_x, w_y = omega_x @ psi + lid_x, omega_y @ psi + lid_y
        residual = u * w_x + v * w_y - (diffusion @ psi + lid_diffusion)
        jacobian = (
            sp.diags(u) @ omega_x
            + sp.diags(v) @ omega_y
            + sp.diags(w_x) @ psi_y
            - sp.diags(w_y) @ psi_x
            - diffusion
        )
        step = splu(jacobian.tocsc()).solve(residual)
        psi -= step
        if np.abs(step).max() < 1e-10:  # the largest psi is about 0.1
            return _velocities(d1, inner, psi)
    raise RuntimeError(f"Newton's method did not converge at Re = {reynolds}, {cells} cells.")


def _velocities(d1: sp.csr_matrix, inner: np.ndarray, psi: np.ndarray) -> np.ndarray:
    """u and v at all nodes, from psi at the inner nodes."""
    values = np.zeros(inner.shape)
    values[inner] = psi
    u, v = values @ d1.T, -(d1 @ values)
    u[~inner], v[~inner] = 0, 0
    u[:, -1] = 1
    return np.stack([u, v])


def _differences(x: np.ndarray) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Matrices of the first and second derivative in one direction, by three-point differences.

    The rows of the two end nodes are empty.
    """
    n = len(x)
    h = np.diff(x)
    left, right = h[:-1], h[1:]
    i = np.arange(1, n - 1)
    columns = np.concatenate([i - 1, i, i + 1])
    both = left + right
    first = [-right / (left * both), (right - left) / (left * right), left / (right * both)]
    second = [2 / (left * both), -2 / (left * right), 2 / (right * both)]
    d1, d2 = (
        sp.csr_matrix((np.concatenate(w), (np.tile(i, 3), columns)), shape=(n, n))
        for w in (first, second)
    )
    return d1, d2


def _vorticity(
    x: np.ndarray, laplacian: sp.csr_matrix, rows: np.ndarray
) -> tuple[sp.csr_matrix, np.ndarray]:
    """The vorticity at all nodes: omega = matrix @ psi at the inner nodes + the lid's part.

    Returns:
        The matrix, and the part of omega that comes from the moving lid.
    """
    n = len(x)
    at = np.arange(n * n).reshape(n, n)
    # psi = g s + a s^2 / 2 + b s^3 / 6 at distance s from a wall where psi = 0 and psi' = g;
    # omega = -a there. The distances are the same at all walls.
    s = x[1:3]
    inverse = np.linalg.inv(np.stack([s**2 / 2, s**3 / 6], axis=1))
    near, far = inverse[0]
    k = np.arange(1, n - 1)
    walls = [
        (at[0, k], at[1, k], at[2, k]),
        (at[-1, k], at[-2, k], at[-3, k]),
        (at[k, 0], at[k, 1], at[k, 2]),
        (at[k, -1], at[k, -2], at[k, -3]),
    ]
    wall, first, second = (np.concatenate(column) for column in zip(*walls, strict=True))
    values = np.concatenate([np.full(len(wall), -near), np.full(len(wall), -far)])
    places = (np.tile(wall, 2), np.concatenate([first, second]))
    on_walls = sp.csr_matrix((values, places), shape=(n * n, n * n))
    inside = sp.csr_matrix((np.ones(len(rows)), (rows, rows)), shape=(n * n, n * n))
    lid = np.zeros(n * n)
    g = -1.0  # along the inward normal, psi' = -psi_y = -u
    lid[at[k, -1]] = near * g * s[0] + far * g * s[1]
    return (on_walls - inside @ laplacian)[:, rows].tocsr(), lid


@cache
def _splines() -> tuple[RectBivariateSpline, RectBivariateSpline]:
    name = f"cavity-v{_VERSION}-Re{REYNOLDS:g}-{_CELLS}"
    return interpolate(cached(name, lambda: {"velocity": extrapolated(_CELLS)})["velocity"])
