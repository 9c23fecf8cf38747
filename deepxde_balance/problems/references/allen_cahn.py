"""The Allen-Cahn equation, by a Fourier method in space and exponential time differencing.

u_t = D u_xx + 5 (u - u^3) on -1 < x < 1, periodic, from u = x^2 cos(pi x). The solution is even in
x, so its Fourier series is a cosine series on [0, 1].

The initial values have a kink at the periodic boundary: the slope is -2 left of x = 1 and +2 right
of it. Their Fourier coefficients therefore decay only like 1/n^2. Three measures avoid the error
that this would make. The initial coefficients are exact, not from samples. For t > 0 diffusion
damps mode n by exp(-D pi^2 n^2 t), which is negligible at n = 2048 from t = 0.005 on. The solution
is interpolated without the part that comes from the kink, which is known (see :func:`kink`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.fft import dct, idct
from scipy.interpolate import RectBivariateSpline
from scipy.special import erfc

from .cache import cached

DIFFUSION = 1e-4
REACTION = 5.0

#: Bound on the relative L2 error, see benchmarks/references.py. It also holds before the first
#: snapshot, where the error is largest.
ERROR = 1e-9

_MODES = 2048
_STEPS = 2000
_SNAPSHOTS = 200
_VERSION = 1


def solution(x: np.ndarray) -> np.ndarray:
    """u at points of shape (N, 2), columns x and t in [-1, 1] and [0, 1], shape (N, 1)."""
    s, t = np.abs(x[:, 0]).astype(float), x[:, 1].astype(float)
    u: np.ndarray = _spline().ev(s, t) + kink(s, t)
    return u[:, None]


def initial(x: np.ndarray) -> np.ndarray:
    """u at points x and t = 0, of the shape of x."""
    return x**2 * np.cos(np.pi * x)


def kink(x: np.ndarray, t: np.ndarray | float) -> np.ndarray:
    """The part of u that comes from the initial kink at |x| = 1, up to a smooth function.

    The slope jumps by 4 at the kink. At distance d from it, the heat equation turns |d| / 2 into
    |d| / 2 + sqrt(D t) ierfc(|d| / sqrt(4 D t)). As u = -1 at the kink, the reaction, linearised
    there, damps this part by exp(-10 t). The periodic images of the kink are too far away to
    matter.

    Args:
        x: Points in [-1, 1].
        t: Times, of a shape that broadcasts with that of `x`.
    """
    length = 2 * np.sqrt(DIFFUSION * np.maximum(t, 1e-300))
    z = (1 - np.abs(x)) / length
    ierfc = np.exp(-(z**2)) / np.sqrt(np.pi) - z * erfc(z)
    part: np.ndarray = 2 * length * ierfc * np.exp(-2 * REACTION * np.asarray(t))
    return part


def solve(modes: int, steps: int, snapshots: int = _SNAPSHOTS) -> np.ndarray:
    """u by ETDRK4 (Cox & Matthews 2002, with the contour integrals of Kassam & Trefethen 2005).

    Args:
        modes: Highest cosine mode.
        steps: Time steps from t = 0 to t = 1, a multiple of `snapshots`.
        snapshots: Number of equispaced times in (0, 1] at which the solution is returned.

    Returns:
        u at x = j / modes and t = k / snapshots, shape (modes + 1, snapshots + 1).

    Raises:
        ValueError: If `steps` is not a multiple of `snapshots`.
    """
    if steps % snapshots:
        raise ValueError(f"steps={steps} is not allowed: it must be a multiple of {snapshots}.")
    h = 1 / steps
    decay = -DIFFUSION * (np.pi * np.arange(modes + 1)) ** 2 * h
    half, full, q, f1, f2, f3 = _etdrk4(decay)

    def reaction(coefficients: np.ndarray) -> np.ndarray:
        u = idct(coefficients, type=1)
        change: np.ndarray = h * REACTION * dct(u - u**3, type=1)
        return change

    v = _initial_coefficients(modes)
    u_at = [initial(np.linspace(0, 1, modes + 1))]
    for step in range(1, steps + 1):
        n_v = reaction(v)
        a = half * v + q * n_v
        n_a = reaction(a)
        n_b = reaction(half * v + q * n_a)
        n_c = reaction(half * a + q * (2 * n_b - n_v))
        v = full * v + f1 * n_v + 2 * f2 * (n_a + n_b) + f3 * n_c
        if step % (steps // snapshots) == 0:
            u_at.append(idct(v, type=1))
    return np.stack(u_at, axis=1)


def _initial_coefficients(modes: int) -> np.ndarray:
    """The exact cosine coefficients of x^2 cos(pi x), as scipy's DCT-I scales them."""

    def moment(m: np.ndarray) -> np.ndarray:
        """The integral of x^2 cos(m pi x) over [0, 1]."""
        return np.where(m == 0, 1 / 3, 2.0 * (-1.0) ** m / (np.pi * np.where(m == 0, 1, m)) ** 2)

    n = np.arange(modes + 1)
    coefficients: np.ndarray = modes * (moment(n + 1) + moment(np.abs(n - 1)))
    # The DCT-I doubles the first and the last coefficient. The formula doubles only the first.
    coefficients[-1] *= 2
    return coefficients


def _etdrk4(decay: np.ndarray) -> tuple[np.ndarray, ...]:
    """The coefficients of ETDRK4; `decay` is h times the eigenvalues of the linear operator."""
    circle = np.exp(1j * np.pi * (np.arange(32) + 0.5) / 32)
    z = decay[:, None] + circle

    def mean(values: np.ndarray) -> np.ndarray:
        real: np.ndarray = values.mean(axis=1).real
        return real

    exp = np.exp(z)
    return (
        np.exp(decay / 2),
        np.exp(decay),
        mean((np.exp(z / 2) - 1) / z),
        mean((-4 - z + exp * (4 - 3 * z + z**2)) / z**3),
        mean((2 + z + exp * (-2 + z)) / z**3),
        mean((-4 - 3 * z - z**2 + exp * (4 - z)) / z**3),
    )


def interpolate(u: np.ndarray) -> RectBivariateSpline:
    """A spline in |x| and t of u - kink; `u` is from :func:`solve`, `kink` is :func:`kink`."""
    x, t = (np.linspace(0, 1, n) for n in u.shape)
    smooth = u - kink(x[:, None], t[None, :])
    return RectBivariateSpline(x, t, smooth, kx=5, ky=5)


@cache
def _spline() -> RectBivariateSpline:
    name = f"allen-cahn-v{_VERSION}-{_MODES}-{_STEPS}-{_SNAPSHOTS}"
    return interpolate(cached(name, lambda: {"u": solve(_MODES, _STEPS)})["u"])
