"""Functions in place of a problem's network, and what the problem's losses are then."""

import deepxde as dde
import numpy as np
import torch


class Stand(dde.nn.NN):
    """A function in place of the network."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.unused = torch.nn.Parameter(torch.zeros(1))  # an optimizer wants one

    def forward(self, x):
        return self.function(x)


def at_truth(setup):
    """The problem, its unknowns at what they are to become."""
    for variable, true in setup.true_values.items():
        setup.variables[variable].data.fill_(true)
    return setup


def losses(setup, function):
    """All losses of the problem, in DeepXDE's own order, with a function for a network."""
    x, y = setup.data.train_next_batch()[:2]
    return model_of(setup, function)._outputs_losses(True, x, y, None)[1]


def model_of(setup, function):
    model = dde.Model(setup.data, Stand(function))
    model.compile("adam", lr=1e-3, verbose=0)
    return model


def wave(x, outputs):
    """What makes a solution wrong: a wave that is 0 in no derivative, others for other outputs."""
    numbers = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)
    phases = (x * (0.7 + 0.6 * numbers)).sum(dim=1, keepdim=True)
    return 0.1 * torch.cos(phases + torch.arange(1, outputs + 1, dtype=x.dtype))


def wrong(function):
    def shifted(x):
        y = function(x)
        return y + wave(x, y.shape[1])

    return shifted


def outputs_of(setup):
    point = torch.as_tensor(setup.points[:1], dtype=next(setup.net.parameters()).dtype)
    return setup.net(point).shape[1]


def taylor(setup, step, periodic=False):
    """The solution, with derivatives by central differences of fourth order, none of them mixed.

    The stencil stops at the edges of the domain: derivatives there are wrong, values are right. In
    a periodic direction, the first, it goes on at the other edge.
    """
    low, high = setup.points.min(axis=0), setup.points.max(axis=0)

    def at(x):
        x = x.copy()
        if periodic:
            x[:, 0] = low[0] + (x[:, 0] - low[0]) % (high[0] - low[0])
        known = setup.solution(np.clip(x, low, high))
        unknown = np.zeros((len(x), outputs_of(setup) - known.shape[1]))  # the cavity's pressure
        return torch.as_tensor(np.hstack([known, unknown]))

    def function(x):
        here = x.detach().numpy()
        y = centre = at(here)
        for i, h in enumerate((high - low) * step):
            left2, left, right, right2 = (
                at(here + n * h * np.eye(len(low))[i]) for n in (-2, -1, 1, 2)
            )
            first = (left2 - 8 * left + 8 * right - right2) / (12 * h)
            second = (16 * (left + right) - left2 - right2 - 30 * centre) / (12 * h**2)
            away = (x - x.detach())[:, i : i + 1]
            y = y + first * away + second * away**2 / 2
        return y

    return function


def residuals(setup, function):
    """The mean squares of the residuals at the residual points well inside the domain."""
    low, high = setup.points.min(axis=0), setup.points.max(axis=0)
    margin = 0.05 * (high - low)
    points = setup.data.train_x_all
    inside = np.all((points > low + margin) & (points < high - margin), axis=1)
    x = torch.as_tensor(points[inside]).requires_grad_()
    assert len(x) > 200
    dde.grad.clear()
    found = setup.data.pde(x, function(x))
    dde.grad.clear()
    return np.array([r.square().mean().item() for r in listed(found)])


def listed(found):
    return found if isinstance(found, list) else [found]
