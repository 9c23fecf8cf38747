"""Derivatives of functions of points, by finite differences, and what they are compared with."""

import numpy as np


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
