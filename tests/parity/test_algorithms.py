"""The papers' algorithms, written out with plain autograd, against Model and LossWeighting.

The reference in this file uses torch.autograd, torch.optim and NumPy only: its own losses on the
same points, its own statistics, its own averages.
"""

import copy
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.plain import flat_gradient, plain_losses

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")

ITERATIONS = 50


def kurtosis(g):
    return np.mean(((g - g.mean()) / g.std(ddof=1)) ** 4)


RATIOS = {
    "mean": lambda g_r, g_i, lam: np.abs(g_r).max() / np.abs(lam * g_i).mean(),
    "std": lambda g_r, g_i, lam: g_r.std(ddof=1) / g_i.std(ddof=1),
    "kurtosis": lambda g_r, g_i, lam: (
        (g_r.std(ddof=1) / kurtosis(g_r)) / (g_i.std(ddof=1) / kurtosis(g_i))
    ),
    "l1": lambda g_r, g_i, lam: np.abs(g_r).sum() / np.abs(g_i).sum(),
    "l2": lambda g_r, g_i, lam: np.sqrt((g_r**2).sum()) / np.sqrt((g_i**2).sum()),
    "linf": lambda g_r, g_i, lam: np.abs(g_r).max() / np.abs(g_i).max(),
}


class Gw:
    """lambda_i <- (1 - alpha) lambda_i + alpha r_i (also DN without bias correction)."""

    def __init__(self, ratio, alpha):
        self.ratio, self.alpha, self.lam = RATIOS[ratio], alpha, np.ones(2)

    def update(self, losses, g_r, g):
        r = np.array([self.ratio(g_r, g[i], self.lam[i]) for i in range(2)])
        self.lam = (1 - self.alpha) * self.lam + self.alpha * r


class Dn:
    """Deguchi & Asai 2023, eqs. 22 to 26."""

    def __init__(self, ratio, beta):
        self.ratio, self.beta, self.lam, self.m, self.t = RATIOS[ratio], beta, np.ones(2), 0, 0

    def update(self, losses, g_r, g):
        self.t += 1
        r = np.array([self.ratio(g_r, g[i], self.lam[i]) for i in range(2)])
        self.m = self.beta * self.m + (1 - self.beta) * r
        self.lam = self.m / (1 - self.beta**self.t)


class Db:
    """Zhou et al. 2025, algorithm 1, lines 5 to 10; `share` and `alpha` make its ablations."""

    def __init__(self, ratio, share="difficulty", alpha=None):
        self.ratio, self.share, self.alpha = RATIOS[ratio], share, alpha
        self.lam, self.mu, self.t = np.ones(2), np.zeros(2), 0

    def update(self, losses, g_r, g):
        self.t += 1
        r = np.array([self.ratio(g_r, g[i], self.lam[i]) for i in range(2)])
        self.mu = (1 - 1 / self.t) * self.mu + losses / self.t
        index = losses / self.mu
        instantaneous = {
            "difficulty": r.sum() * index / index.sum(),
            "average": np.full(2, r.mean()),
            "pairwise": r,
        }[self.share]
        self.lam = self.averaged(instantaneous)

    def averaged(self, instantaneous):
        step = 1 / self.t if self.alpha is None else self.alpha
        return (1 - step) * self.lam + step * instantaneous


class DbGeometric(Db):
    """The same with the geometric mean of all updates."""

    product = 1.0

    def averaged(self, instantaneous):
        self.product = self.product * instantaneous
        return self.product ** (1 / self.t)


CASES: dict[str, Any] = {
    "gw-mean": (lambda: Gw("mean", 0.1), 100, "gw-mean"),
    "gw-std": (lambda: Gw("std", 0.1), 100, "gw-std"),
    "gw-kurtosis": (lambda: Gw("kurtosis", 0.1), 100, "gw-kurtosis"),
    "gw-std every 7": (lambda: Gw("std", 0.5), 7, ddb.GW("std", alpha=0.5, update_every=7)),
    "dn": (lambda: Dn("l2", 0.99), 10, "dn"),
    "dn-l1": (lambda: Dn("l1", 0.99), 10, "dn-l1"),
    "dn-linf": (lambda: Dn("linf", 0.99), 10, "dn-linf"),
    "dn every 1": (lambda: Dn("l2", 0.9), 1, ddb.DN(beta=0.9, update_every=1)),
    "dn uncorrected": (
        lambda: Gw("l2", 0.1),
        10,
        ddb.DN(beta=0.9, bias_correction=False),
    ),
    "db-mean": (lambda: Db("mean"), 100, "db-mean"),
    "db-std": (lambda: Db("std"), 100, "db-std"),
    "db-kurtosis": (lambda: Db("kurtosis"), 100, "db-kurtosis"),
    "db-norm": (lambda: Db("l2"), 100, "db-norm"),
    "db-mean every 1": (lambda: Db("mean"), 1, ddb.DB("mean", update_every=1)),
    "db-std every 1": (lambda: Db("std"), 1, ddb.DB("std", update_every=1)),
    "db-kurtosis every 7": (lambda: Db("kurtosis"), 7, ddb.DB("kurtosis", update_every=7)),
    "db without balancing": (
        lambda: Db("std", "pairwise"),
        3,
        ddb.GradientWeighting("std", "pairwise", ddb.RunningMean(), update_every=3),
    ),
    "db average": (
        lambda: Db("kurtosis", "average"),
        3,
        ddb.GradientWeighting("kurtosis", "average", ddb.RunningMean(), update_every=3),
    ),
    "db-std:allocation=pairwise": (
        lambda: Db("std", "pairwise"),
        3,
        "db-std:allocation=pairwise,update_every=3",
    ),
    "db-mean:allocation=average": (
        lambda: Db("mean", "average"),
        3,
        "db-mean:allocation=average,update_every=3",
    ),
    "db-kurtosis:average=ema:alpha=0.5": (
        lambda: Db("kurtosis", alpha=0.5),
        3,
        "db-kurtosis:average=ema:alpha=0.5,update_every=3",
    ),
    "db geometric": (
        lambda: DbGeometric("kurtosis"),
        3,
        ddb.DB("kurtosis", average="geometric-mean", update_every=3),
    ),
    "db with EMA": (
        lambda: Db("mean", "difficulty", alpha=0.2),
        3,
        ddb.GradientWeighting("mean", "difficulty", ddb.EMA(0.2), update_every=3),
    ),
}


def reference_run(net, data, rule, update_every):
    """Weights after each iteration, and the final parameters."""
    parameters = list(net.parameters())
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    history = []
    for iteration in range(ITERATIONS):
        residual, bc, ic = plain_losses(net, data)
        if iteration % update_every == 0:
            g = [flat_gradient(loss, parameters) for loss in (bc, ic)]
            losses = np.array([bc.item(), ic.item()])
            rule.update(losses, flat_gradient(residual, parameters), g)
        optimizer.zero_grad()
        (residual + rule.lam[0] * bc + rule.lam[1] * ic).backward()
        optimizer.step()
        history.append(rule.lam)
    return np.array(history), torch.cat([p.detach().reshape(-1) for p in parameters])


@pytest.mark.parametrize("way", ["Model", "LossWeighting"])
@pytest.mark.parametrize("case", CASES)
def test_weights_and_parameters_follow_the_paper(case, way, float64):
    make_rule, update_every, weighting = CASES[case]
    data, net = scripts.klein_gordon(), scripts.network()
    expected, expected_parameters = reference_run(
        copy.deepcopy(net), data, make_rule(), update_every
    )
    groups = {"bc": [0], "ic": [1, 2]}
    if way == "Model":
        model, callbacks = ddb.Model(data, net), None
        model.compile("adam", lr=1e-2, loss_weights=weighting, loss_groups=groups, verbose=0)
    else:
        model, callbacks = dde.Model(data, net), [ddb.LossWeighting(weighting, groups)]
        model.compile("adam", lr=1e-2, verbose=0)
    model.train(iterations=ITERATIONS, display_every=1, callbacks=callbacks, verbose=0)
    applied = np.array([[w["bc"], w["ic"]] for w in model.losshistory.loss_weights])
    assert len(applied) == ITERATIONS + 1
    np.testing.assert_allclose(applied[0], 1.0)
    np.testing.assert_allclose(applied[1:], expected, rtol=1e-10)
    np.testing.assert_allclose(
        scripts.parameters_of(model), expected_parameters, rtol=1e-10, atol=1e-10
    )


def test_the_history_holds_unweighted_losses(float64):
    data, net = scripts.klein_gordon(), scripts.network()
    unweighted = [loss.item() for loss in plain_losses(net, data)]
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-2, loss_weights="db-std", verbose=0)
    model.train(iterations=1, display_every=1, verbose=0)
    first, last = model.losshistory.loss_train
    np.testing.assert_allclose([first[0], first[1], first[2] + first[3]], unweighted, rtol=1e-12)
    unweighted = [loss.item() for loss in plain_losses(net, data)]
    np.testing.assert_allclose([last[0], last[1], last[2] + last[3]], unweighted, rtol=1e-12)
    assert model.weights["bc0"] != 1
