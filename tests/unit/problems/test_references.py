"""The reference solutions satisfy their equations and converge to what is published."""

import numpy as np
import pytest

from deepxde_balance.problems.references import allen_cahn, burgers, cavity
from deepxde_balance.problems.sampling import grid

NU = 0.01 / np.pi


def derivative(f, x, axis, h):
    """By central differences of fourth order."""
    step = np.zeros(x.shape[1])
    step[axis] = h
    return (8 * (f(x + step) - f(x - step)) - f(x + 2 * step) + f(x - 2 * step)) / (12 * h)


def second_derivative(f, x, axis, h):
    step = np.zeros(x.shape[1])
    step[axis] = h
    near, far = f(x + step) + f(x - step), f(x + 2 * step) + f(x - 2 * step)
    return (16 * near - far - 30 * f(x)) / (12 * h**2)


def inside(number, low=(-0.99, 0.02), high=(0.99, 0.98)):
    return np.random.default_rng(0).uniform(low, high, (number, 2))


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def speed(velocities, points):
    u, v = cavity.interpolate(velocities)
    return np.hypot(u.ev(*points.T), v.ev(*points.T))


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


def test_cavity_converges_to_second_order():
    centre = np.stack([np.full(50, 0.5), np.linspace(0, 1, 50)], axis=1)
    u = [cavity.interpolate(cavity.solve(n))[0].ev(*centre.T) for n in (16, 32, 64)]
    finest = cavity.velocity(centre)[:, 0]
    errors = [np.abs(values - finest).max() for values in u]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.15)


def test_cavity_has_converged():
    """Third order after extrapolation, for the corners: the bound follows from coarse grids."""
    points = grid((0, 0), (1, 1), 100)
    reference = np.linalg.norm(cavity.velocity(points), axis=1)
    coarse, fine = (relative(speed(cavity.extrapolated(n), points), reference) for n in (24, 48))
    assert coarse / fine > 5
    assert fine * (48 / 96) ** 3 < cavity.ERROR <= 1e-3


def test_cavity_has_the_published_extrema():
    """Botella & Peyret, Comput. Fluids 27 (1998): a spectral method, to 7 digits."""
    line, half = np.linspace(0, 1, 5001), np.full(5001, 0.5)
    u = cavity.velocity(np.stack([half, line], axis=1))[:, 0]
    v = cavity.velocity(np.stack([line, half], axis=1))[:, 1]
    assert u.min() == pytest.approx(-0.2140424, abs=1e-5)
    assert v.max() == pytest.approx(0.1795728, abs=1e-5)
    assert v.min() == pytest.approx(-0.2538030, abs=1e-5)


def test_cavity_is_ghias():
    """Ghia, Ghia & Shin (1982), tables I and II; their own error is some 1e-3."""
    u = {0.9531: 0.68717, 0.7344: 0.00332, 0.5: -0.20581, 0.2813: -0.15662, 0.0625: -0.04192}
    v = {0.9453: -0.10313, 0.8047: -0.24533, 0.5: 0.05454, 0.2344: 0.17527, 0.0625: 0.09233}
    on_x = cavity.velocity(np.array([[0.5, y] for y in u]))
    on_y = cavity.velocity(np.array([[x, 0.5] for x in v]))
    np.testing.assert_allclose(on_x[:, 0], list(u.values()), atol=0.005)
    np.testing.assert_allclose(on_y[:, 1], list(v.values()), atol=0.01)


def test_cavity_satisfies_its_conditions():
    s = np.linspace(0, 1, 41)
    lid = cavity.velocity(np.stack([s, np.ones(41)], axis=1))
    np.testing.assert_allclose(lid, np.broadcast_to([1, 0], (41, 2)), atol=1e-12)
    for wall in ([0 * s, s], [0 * s + 1, s], [s, 0 * s]):
        at_wall = cavity.velocity(np.stack(wall, axis=1)[np.array(wall[1]) < 0.98])
        np.testing.assert_allclose(at_wall, 0, atol=1e-4)  # the spline rings at the lid's jump


def test_cavity_keeps_mass():
    x = inside(200, (0.1, 0.1), (0.9, 0.85))
    u_x = derivative(lambda x: cavity.velocity(x)[:, 0], x, 0, 1e-3)
    v_y = derivative(lambda x: cavity.velocity(x)[:, 1], x, 1, 1e-3)
    assert np.abs(u_x + v_y).max() < 2e-4 * np.abs(u_x).max() + 1e-3


def test_cavity_says_when_newton_fails():
    with pytest.raises(RuntimeError, match="Re = 100000"):
        cavity.solve(12, reynolds=100000)
