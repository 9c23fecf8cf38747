"""The nonlinear Schroedinger equation i h_t + h_xx / 2 + |h|^2 h = 0, periodic in x.

The split-step Fourier method: both halves of the equation are solved exactly, in turn. Strang's
splitting of second order is composed to fourth order (Yoshida, Phys. Lett. A 150 (1990), eq. 4).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.interpolate import RectBivariateSpline

HALF_WIDTH = 5.0
END = 1.0

#: Bound on the relative L2 error, against twice the modes, steps and snapshots.
ERROR = 1e-8

_MODES = 512
_STEPS = 2000
_SNAPSHOTS = 200


def initial(x: np.ndarray) -> np.ndarray:
    """h at t = 0, real. It is 3e-11 at x = 5 and -5: periodic to seven digits of float32."""
    h: np.ndarray = 2 * np.exp(-(x**2))
    return h


def solution(x: np.ndarray) -> np.ndarray:
    """Re h and Im h at points of shape (N, 2), columns x and t, shape (N, 2)."""
    return np.stack([part.ev(x[:, 0], x[:, 1]) for part in _splines()], axis=1)


def solve(
    start: Callable[[np.ndarray], np.ndarray],
    half_width: float,
    end: float,
    modes: int,
    steps: int,
    snapshots: int,
) -> np.ndarray:
    """h from an initial function.

    Args:
        start: h at t = 0, of x.
        half_width: x goes from -half_width to half_width.
        end: The last time.
        modes: Number of modes, and of equispaced points in x, the right end left out.
        steps: Time steps, a multiple of `snapshots`.
        snapshots: Equispaced times after 0 at which h is kept.

    Returns:
        h, shape (modes, snapshots + 1).

    Raises:
        ValueError: If `steps` is not a multiple of `snapshots`.
    """
    if steps % snapshots:
        raise ValueError(f"steps={steps} is not allowed: it must be a multiple of {snapshots}.")
    x = nodes(half_width, modes)[:-1]
    frequency = np.pi / half_width * np.fft.fftfreq(modes, 1 / modes)
    outer = 1 / (2 - 2 ** (1 / 3))
    parts = [part * end / steps for part in (outer, 1 - 2 * outer, outer)]
    dispersion = [np.exp(-0.5j * frequency**2 * dt) for dt in parts]
    h = start(x).astype(complex)
    kept = [h]
    for step in range(1, steps + 1):
        for dt, factor in zip(parts, dispersion, strict=True):
            h = h * np.exp(0.5j * dt * np.abs(h) ** 2)
            h = np.fft.ifft(factor * np.fft.fft(h))
            h = h * np.exp(0.5j * dt * np.abs(h) ** 2)
        if step % (steps // snapshots) == 0:
            kept.append(h)
    return np.stack(kept, axis=1)


def interpolate(h: np.ndarray) -> tuple[RectBivariateSpline, RectBivariateSpline]:
    """Splines of Re h and Im h from what :func:`solve` gives for the suite's problem."""
    closed = np.concatenate([h, h[:1]])
    x, t = nodes(HALF_WIDTH, len(h)), np.linspace(0, END, h.shape[1])
    real, imag = (RectBivariateSpline(x, t, a, kx=5, ky=5) for a in (closed.real, closed.imag))
    return real, imag


def nodes(half_width: float, modes: int) -> np.ndarray:
    """The points in x, both ends among them, shape (modes + 1,)."""
    return np.linspace(-half_width, half_width, modes + 1)


@cache
def _splines() -> tuple[RectBivariateSpline, RectBivariateSpline]:
    return interpolate(solve(initial, HALF_WIDTH, END, _MODES, _STEPS, _SNAPSHOTS))
