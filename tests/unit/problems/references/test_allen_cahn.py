"""Allen-Cahn by a spectral method: it satisfies its equation, and has converged."""

import numpy as np
import pytest
from _support.derivatives import derivative, inside, relative, second_derivative

from deepxde_balance.problems.references import allen_cahn


def test_allen_cahn_satisfies_its_equation():
    x = inside(500)
    u = allen_cahn.solution(x)
    u_t = derivative(allen_cahn.solution, x, 1, 1e-3)
    u_xx = second_derivative(allen_cahn.solution, x, 0, 3e-4)
    terms = np.abs(u_t) + np.abs(1e-4 * u_xx) + 0.1
    assert np.abs((u_t - 1e-4 * u_xx + 5 * u**3 - 5 * u) / terms).max() < 2e-4


def test_allen_cahn_satisfies_its_conditions():
    s = np.linspace(-1, 1, 101)
    start = allen_cahn.solution(np.stack([s, np.zeros(101)], axis=1))[:, 0]
    np.testing.assert_allclose(start, s**2 * np.cos(np.pi * s), atol=1e-9)
    # Even and periodic, so the slope at the ends is 0: u there differs by the square of a step.
    times = np.linspace(0.01, 1, 50)
    for end in (-1, 1):
        at, near = (
            allen_cahn.solution(np.stack([np.full(50, end * s), times], axis=1))
            for s in (1.0, 1 - 1e-6)
        )
        assert np.abs(at - near).max() / 1e-6 < 2e-3  # it starts from a slope of 2


def test_allen_cahn_is_that_of_finite_differences():
    """Second-order differences on [0, 1] with u_x = 0 at the ends, by SciPy's stiff integrator."""
    from scipy.integrate import solve_ivp

    n = 1000
    x = np.linspace(0, 1, n + 1)

    def rate(t, u):
        padded = np.concatenate([u[1:2], u, u[-2:-1]])
        diffusion = (padded[2:] - 2 * u + padded[:-2]) * n**2
        return 1e-4 * diffusion + 5 * (u - u**3)

    u0 = x**2 * np.cos(np.pi * x)
    found = solve_ivp(rate, (0, 1), u0, "LSODA", lband=1, uband=1, rtol=1e-7, atol=1e-9).y[:, -1]
    expected = allen_cahn.solution(np.stack([x, np.ones(n + 1)], axis=1))[:, 0]
    assert relative(found, expected) < 1e-3


def test_allen_cahn_has_converged():
    def difference(modes, steps):
        coarse = allen_cahn.solve(modes, steps, snapshots=10)
        at = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in coarse.shape), indexing="ij"))
        return relative(coarse, allen_cahn.solution(at.reshape(2, -1).T).reshape(coarse.shape))

    assert difference(1024, 1000) < allen_cahn.ERROR <= 1e-6
    assert difference(256, 1000) > allen_cahn.ERROR
    # Fourth order in time
    assert difference(512, 20) / difference(512, 40) == pytest.approx(16, rel=0.3)


def test_allen_cahn_steps_must_fit_the_snapshots():
    with pytest.raises(ValueError, match="steps=30"):
        allen_cahn.solve(64, 30, snapshots=20)
