"""The cavity by finite differences: it converges, to what is published."""

import numpy as np
import pytest
from _support.derivatives import derivative, inside, relative

from deepxde_balance.problems.references import cavity
from deepxde_balance.problems.sampling import grid


def speed(velocities, points):
    u, v = cavity.interpolate(velocities)
    return np.hypot(u.ev(*points.T), v.ev(*points.T))


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
