"""The strategies beside GW, DN and DB in 30 iterations of training, against plain autograd.

The reference in this file has losses, gradients, optimizers and formulas of its own.
"""

import copy

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.plain import GROUPS, flat_gradient, plain_losses

import deepxde_balance as ddb
from deepxde_balance import weightings

pytestmark = pytest.mark.usefixtures("large_problem")

ITERATIONS = 30
K = 3


class Rule:
    """Weights for one iteration; `after` moves what is learned."""

    def weights(self, losses, gradients):
        raise NotImplementedError

    def after(self, losses, gradients):
        pass


class GradNormEma(Rule):
    """Wang et al. 2023, algorithm 1."""

    def __init__(self):
        self.lam = np.ones(K)

    def weights(self, losses, gradients):
        norms = np.array([np.sqrt((g**2).sum()) for g in gradients])
        self.lam = 0.9 * self.lam + 0.1 * norms.mean() / norms
        return self.lam


class GradNormLearned(Rule):
    """Chen et al. 2018, algorithm 1, differentiated by autograd."""

    def __init__(self):
        self.w = torch.ones(K, dtype=torch.float64, requires_grad=True)
        self.adam = torch.optim.Adam([self.w], lr=0.025)
        self.first = None

    def weights(self, losses, gradients):
        self.first = losses if self.first is None else self.first
        return self.w.detach().numpy().copy()

    def after(self, losses, gradients):
        norms = torch.tensor([np.linalg.norm(g) for g in gradients])
        levels = self.w * norms
        rates = losses / self.first
        targets = levels.detach().mean() * torch.tensor(rates / rates.mean()) ** 1.5
        self.adam.zero_grad()
        (levels - targets).abs().sum().backward()
        self.adam.step()
        with torch.no_grad():
            self.w *= K / self.w.sum()


class Uncertainty(Rule):
    """Kendall et al. 2018: s is one more parameter of the network's Adam (see `reference_run`)."""

    def __init__(self):
        self.s = torch.zeros(K, dtype=torch.float64, requires_grad=True)

    def weights(self, losses, gradients):
        return np.exp(-self.s.detach().numpy()) / 2


class Ascent(Rule):
    """One weight per group climbs the weighted loss."""

    def __init__(self):
        self.w = torch.ones(K, dtype=torch.float64, requires_grad=True)
        self.adam = torch.optim.Adam([self.w], lr=0.005, maximize=True)

    def weights(self, losses, gradients):
        return self.w.detach().numpy().copy()

    def after(self, losses, gradients):
        self.adam.zero_grad()
        (self.w * torch.tensor(losses)).sum().backward()
        self.adam.step()


class Relobralo(Rule):
    """Bischof & Kraus 2021 with rho = 1: no look back to the first losses."""

    def __init__(self):
        self.lam, self.last = np.ones(K), None

    def weights(self, losses, gradients):
        if self.last is not None:
            shares = np.exp(losses / (0.5 * self.last))
            self.lam = 0.9 * self.lam + 0.1 * K * shares / shares.sum()
        self.last = losses
        return self.lam


class Softadapt(Rule):
    """Heydari et al. 2019, algorithm 1."""

    def __init__(self):
        self.last = None

    def weights(self, losses, gradients):
        shares = np.ones(K) if self.last is None else np.exp(0.1 * (losses - self.last))
        self.last = losses
        return shares / shares.sum()


class Config(Rule):
    """Liu et al. 2024, eq. 2, with the pseudo-inverse of the unit gradients themselves."""

    def weights(self, losses, gradients):
        rows = np.stack(gradients)
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        direction = np.linalg.pinv(units) @ np.ones(K)
        direction /= np.linalg.norm(direction)
        update = (rows @ direction).sum() * direction
        return np.linalg.lstsq(rows.T, update, rcond=None)[0]


class Mgda(Rule):
    def weights(self, losses, gradients):
        from torchjd.aggregation import MGDAWeighting

        rows = torch.tensor(np.stack(gradients))
        return MGDAWeighting()(rows @ rows.T).numpy()


def mgda():
    torchjd = pytest.importorskip("torchjd")
    return weightings.TorchJD(torchjd.aggregation.MGDAWeighting())


CASES = {
    "grad-norm": (GradNormEma, 10, lambda: weightings.get("grad-norm", update_every=10)),
    "gradnorm": (GradNormLearned, 1, lambda: "gradnorm"),
    "uw": (Uncertainty, 1, lambda: "uw"),
    "sa-term": (Ascent, 1, lambda: "sa-term"),
    "relobralo": (
        Relobralo,
        1,
        lambda: weightings.get("relobralo", alpha=0.9, temperature=0.5, expected_rho=1.0),
    ),
    "softadapt": (Softadapt, 1, lambda: "softadapt"),
    "config": (Config, 1, lambda: "config"),
    "torchjd": (Mgda, 1, mgda),
}


def reference_run(net, data, rule, update_every):
    parameters = list(net.parameters())
    learned = [rule.s] if isinstance(rule, Uncertainty) else []
    optimizer = torch.optim.Adam([*parameters, *learned], lr=1e-2)
    history = []
    for iteration in range(ITERATIONS):
        terms = plain_losses(net, data)
        losses = np.array([t.item() for t in terms])
        if iteration % update_every == 0:
            gradients = [flat_gradient(t, parameters) for t in terms]
            lam = rule.weights(losses, gradients)
        optimizer.zero_grad()
        if learned:
            sum(
                torch.exp(-s) / 2 * t + s / 2 for s, t in zip(rule.s, terms, strict=True)
            ).backward()
        else:
            sum(w * t for w, t in zip(lam, terms, strict=True)).backward()
        optimizer.step()
        rule.after(losses, gradients)
        history.append(lam)
    return np.array(history), torch.cat([p.detach().reshape(-1) for p in parameters])


@pytest.mark.parametrize("way", ["one-pass", "per-group", "LossWeighting"])
@pytest.mark.parametrize("case", CASES)
def test_weights_and_parameters_follow_the_paper(case, way, float64):
    rule, update_every, make = CASES[case]
    data, net = scripts.klein_gordon(), scripts.network()
    expected, parameters = reference_run(copy.deepcopy(net), data, rule(), update_every)
    if way == "LossWeighting":
        model, callbacks = dde.Model(data, net), [ddb.LossWeighting(make(), GROUPS)]
        model.compile("adam", lr=1e-2, verbose=0)
    else:
        model, callbacks = ddb.Model(data, net), None
        model.compile(
            "adam",
            lr=1e-2,
            loss_weights=make(),
            loss_groups=GROUPS,
            gradient_engine=way,
            verbose=0,
        )
    model.train(iterations=ITERATIONS, display_every=1, callbacks=callbacks, verbose=0)
    applied = np.array([list(w.values()) for w in model.losshistory.loss_weights])
    np.testing.assert_allclose(applied[1:], expected, rtol=1e-8)
    np.testing.assert_allclose(scripts.parameters_of(model), parameters, rtol=1e-8, atol=1e-9)


FROM_LOSSES = ["uw", "sa-term", "relobralo", "softadapt"]


@pytest.mark.parametrize("name", FROM_LOSSES)
def test_no_gradient_of_a_single_group_is_computed_for_losses(name, monkeypatch):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=name, verbose=0)
    model.train(iterations=1, verbose=0)  # with the engine's check

    def refuse(*_):
        raise AssertionError("per-group gradients were asked for")

    monkeypatch.setattr(type(model.train_step.engine._engine), "gradients", refuse)
    backwards = []
    original = torch.Tensor.backward
    monkeypatch.setattr(
        torch.Tensor, "backward", lambda *a, **k: (backwards.append(1), original(*a, **k))[1]
    )
    model.train(iterations=5, verbose=0)
    assert len(backwards) == 5
    assert len(set(model.weights.values())) > 1


def test_uw_refuses_lbfgs_and_leaves_the_model_as_it_was():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
    optimizer = model.opt
    for name, told in (("L-BFGS", "LBFGS"), ("NNCG", "NNCG")):
        with pytest.raises(ValueError, match=f'{told} can.t .* loss_weights="keep"'):
            model.compile(name, loss_weights="uw", verbose=0)
    assert model.opt is optimizer and model.weighting.strategy.endswith("RunningMean")


@pytest.mark.parametrize("name", ["uw", "relobralo", "sa-term", "gradnorm"])
def test_keep_after_learned_weights(name):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=name, verbose=0)
    model.train(iterations=5, verbose=0)
    before = model.weights
    model.compile("adam", lr=1e-2, loss_weights="keep", verbose=0)
    model.train(iterations=5, verbose=0)
    assert model.weights == before != dict.fromkeys(before, 1.0)
