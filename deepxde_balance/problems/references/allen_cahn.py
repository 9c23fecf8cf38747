"""The Allen-Cahn equation, by a Fourier method in space and exponential time differencing.

u_t = D u_xx + 5 (u - u^3) on -1 < x < 1, periodic, from u = x^2 cos(pi x). The solution is even in
x, so its Fourier series is a cosine series on [0, 1]. The initial values have a kink at the
periodic boundary (slope -2 on the left of x = 1, +2 on its right), and their Fourier coefficients
decay like 1/n^2 only. Three things keep that out of the error: the initial coefficients are exact,
not sampled; for t > 0 diffusion damps mode n by exp(-D pi^2 n^2 t), to nothing at n = 2048 from
t = 0.005 on; and what the kink becomes is known (see :func:`kink`) and is taken away before
interpolation.
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

#: Bound on the relative L2 error, also on the part of the strip before the first snapshot, where
#: it is largest; see benchmarks/references.py.
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
    """u at t = 0."""
    return x**2 * np.cos(np.pi * x)


def kink(x: np.ndarray, t: np.ndarray | float) -> np.ndarray:
    """What the initial kink of strength 4 at |x| = 1 becomes, without the smooth rest.

    The heat equation turns |d| / 2 into |d| / 2 + sqrt(D t) ierfc(|d| / sqrt(4 D t)); there
    u = -1, and the reaction linearised about it damps by exp(-10 t). Other images of the kink are
    too far away to matter.
    """
    length = 2 * np.sqrt(DIFFUSION * np.maximum(t, 1e-300))
    z = (1 - np.abs(x)) / length
    ierfc = np.exp(-(z**2)) / np.sqrt(np.pi) - z * erfc(z)
    images: np.ndarray = 2 * length * ierfc * np.exp(-2 * REACTION * np.asarray(t))
    return images


def solve(modes: int, steps: int, snapshots: int = _SNAPSHOTS) -> np.ndarray:
    """u by ETDRK4 (Cox & Matthews 2002, with the contour integrals of Kassam & Trefethen 2005).

    Args:
        modes: Highest cosine mode.
        steps: Time steps from t = 0 to t = 1, a multiple of `snapshots`.
        snapshots: Times in (0, 1] at which the solution is kept.

    Returns:
        u at x = j / modes and t = k / snapshots, shape (modes + 1, snapshots + 1).
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
    kept = [initial(np.linspace(0, 1, modes + 1))]
    for step in range(1, steps + 1):
        n_v = reaction(v)
        a = half * v + q * n_v
        n_a = reaction(a)
        n_b = reaction(half * v + q * n_a)
        n_c = reaction(half * a + q * (2 * n_b - n_v))
        v = full * v + f1 * n_v + 2 * f2 * (n_a + n_b) + f3 * n_c
        if step % (steps // snapshots) == 0:
            kept.append(idct(v, type=1))
    return np.stack(kept, axis=1)


def _initial_coefficients(modes: int) -> np.ndarray:
    """The exact cosine coefficients of x^2 cos(pi x), as scipy's DCT-I scales them."""

    def moment(m: np.ndarray) -> np.ndarray:
        """The integral of x^2 cos(m pi x) over [0, 1]."""
        return np.where(m == 0, 1 / 3, 2.0 * (-1.0) ** m / (np.pi * np.where(m == 0, 1, m)) ** 2)

    n = np.arange(modes + 1)
    coefficients: np.ndarray = modes * (moment(n + 1) + moment(np.abs(n - 1)))
    coefficients[-1] *= 2  # the DCT-I doubles its first and last; the formula has the first so
    return coefficients


def _etdrk4(decay: np.ndarray) -> tuple[np.ndarray, ...]:
    """ETDRK4's coefficients for h times the linear operator's eigenvalues."""
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
    """The spline in |x| and t of u without :func:`kink`, from what :func:`solve` gives."""
    x, t = (np.linspace(0, 1, n) for n in u.shape)
    smooth = u - kink(x[:, None], t[None, :])
    return RectBivariateSpline(x, t, smooth, kx=5, ky=5)


@cache
def _spline() -> RectBivariateSpline:
    name = f"allen-cahn-v{_VERSION}-{_MODES}-{_STEPS}-{_SNAPSHOTS}"
    return interpolate(cached(name, lambda: {"u": solve(_MODES, _STEPS)})["u"])
