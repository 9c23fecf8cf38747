"""Burgers by Cole-Hopf: it satisfies its equation, and has the published slope."""

import numpy as np
import pytest
from _support.derivatives import derivative, inside, relative, second_derivative

from deepxde_balance.problems.references import burgers
from deepxde_balance.problems.sampling import grid

NU = 0.01 / np.pi


def solve_burgers(x):
    return burgers.cole_hopf(x, NU)


def test_burgers_satisfies_its_equation():
    x = inside(500)
    u_t = derivative(solve_burgers, x, 1, 1e-4)
    u_x = derivative(solve_burgers, x, 0, 1e-4)
    u_xx = second_derivative(solve_burgers, x, 0, 1e-4)
    terms = np.abs(u_t) + np.abs(NU * u_xx) + 1
    assert np.abs((u_t + solve_burgers(x) * u_x - NU * u_xx) / terms).max() < 1e-5


def test_burgers_satisfies_its_conditions():
    s = np.linspace(-1, 1, 50)
    start = solve_burgers(np.stack([s, np.zeros(50)], axis=1))[:, 0]
    np.testing.assert_allclose(start, -np.sin(np.pi * s), atol=1e-15)
    for end in (-1, 1):
        at_end = np.stack([np.full(50, end), np.linspace(0, 1, 50)], axis=1)
        assert np.abs(solve_burgers(at_end)).max() < 1e-13


def test_burgers_has_the_published_slope():
    """Basdevant et al. (1986): the steepest slope is 152.00516 at pi t = 1.6037."""
    times = np.array([[0.0, 1.6037 / np.pi]])
    assert derivative(solve_burgers, times, 0, 1e-5)[0, 0] == pytest.approx(-152.00516, rel=1e-7)


def test_burgers_has_converged():
    x = grid((-1, 0), (1, 1), 51)
    finer = burgers.cole_hopf(x, NU, nodes=300)
    assert relative(solve_burgers(x), finer) < burgers.ERROR <= 1e-6
    assert relative(burgers.cole_hopf(x, NU, nodes=40), finer) > burgers.ERROR


def test_burgers_at_little_viscosity_does_not_overflow():
    u = burgers.cole_hopf(grid((-1, 0), (1, 1), 11), 1e-4)
    assert np.isfinite(u).all() and np.abs(u).max() <= 1
