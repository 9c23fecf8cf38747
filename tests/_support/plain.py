"""Klein-Gordon's losses, errors and gradients by plain autograd alone."""

import numpy as np
import torch

from .scripts import exact

#: The groups that the tests on Klein-Gordon use.
GROUPS = {"bc": [0], "ic": [1, 2]}


def plain_errors(net, data):
    """Residual, bc, ic and ic_t at their points, by plain autograd."""
    n_bc, n_ic, _ = data.num_bcs
    x_bc, x_ic, x_ict = np.split(data.train_x_bc, [n_bc, n_bc + n_ic])

    def derivatives(x):
        x = torch.tensor(x, requires_grad=True)
        u = net(x)
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (d_ux,) = torch.autograd.grad(du[:, 0].sum(), x, create_graph=True)
        (d_ut,) = torch.autograd.grad(du[:, 1].sum(), x, create_graph=True)
        return u, du, d_ux[:, 0:1], d_ut[:, 1:2]

    u, _, u_xx, u_tt = derivatives(data.train_x_all)
    return [
        u_tt - u_xx + u**3,
        net(torch.tensor(x_bc)) - torch.tensor(exact(x_bc)),
        net(torch.tensor(x_ic)) - torch.tensor(exact(x_ic)),
        derivatives(x_ict)[1][:, 1:2],
    ]


def plain_losses(net, data):
    """Residual, bc, and ic = u + u_t at t = 0, by plain autograd."""
    residual, bc, ic, ic_t = (errors.square().mean() for errors in plain_errors(net, data))
    return residual, bc, ic + ic_t


def flat_gradient(loss, parameters):
    g = torch.autograd.grad(loss, parameters, retain_graph=True)
    return torch.cat([p.reshape(-1) for p in g]).numpy()


class DbMean:
    """Zhou et al. 2025, algorithm 1 with the mean statistic, at every iteration."""

    def __init__(self):
        self.lam, self.mu, self.t = np.ones(2), np.zeros(2), 0

    def update(self, losses, g_r, g):
        self.t += 1
        ratio = np.array(
            [
                np.abs(g_r).max() / np.abs(lam * g_i).mean()
                for lam, g_i in zip(self.lam, g, strict=True)
            ]
        )
        self.mu = self.mu + (losses - self.mu) / self.t
        index = losses / self.mu
        self.lam = self.lam + (ratio.sum() * index / index.sum() - self.lam) / self.t
