"""Optimizer objects under a weighting, against plain loops with the same optimizer.

A loop has its own losses and gradients, and its own db-mean.
"""

from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.plain import GROUPS, DbMean, flat_gradient, plain_errors
from _support.scripts import klein_gordon, network, parameters_of
from pytorch_optimizer import SOAP

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")

ITERATIONS = 25

#: A network small enough for parity with SOAP. Its first basis is that of one gradient's
#: eigenvectors; in a null space of two dimensions or more they are arbitrary, and rounding decides.
LAYERS = (2, 2, 2, 1)

FIXED = [1.0, 3.0, 0.5, 2.0]


def by_dimension(parameters, lr):
    """Matrices and biases in groups of their own, with other learning rates."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.dim() == 2], "lr": lr},
        {"params": [p for p in parameters if p.dim() == 1], "lr": 3 * lr},
    ]


class Twice(torch.optim.SGD):
    """Evaluates the loss twice in a step, and steps by the mean of both gradients."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        parameters = self.param_groups[0]["params"]
        with torch.enable_grad():
            loss = closure()
        first = [p.grad.clone() for p in parameters]
        for p, g in zip(parameters, first, strict=True):
            p.sub_(g, alpha=0.1)
        with torch.enable_grad():
            closure()
        for p, g in zip(parameters, first, strict=True):
            p.add_(g, alpha=0.1)
            p.grad.add_(g).div_(2)
        super().step()
        return loss


OPTIMIZERS: dict[str, Any] = {
    # SOAP finds its later bases in float32: here it keeps the first.
    "soap": lambda ps: SOAP(ps, lr=3e-3, precondition_frequency=ITERATIONS),
    "soap, in groups": lambda ps: SOAP(
        by_dimension(ps, 3e-3), weight_decay=0.0, precondition_frequency=ITERATIONS
    ),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=1e-2, weight_decay=0.3),
    "adam, in groups": lambda ps: torch.optim.Adam(by_dimension(ps, 3e-3)),
    "l-bfgs": lambda ps: torch.optim.LBFGS(ps, lr=0.1, max_iter=2),
    "loss twice in a step": lambda ps: Twice(ps, lr=1e-3),
}


class Frozen:
    """The present weights of another strategy."""

    def __init__(self, strategy):
        self.lam = strategy.lam

    def update(self, losses, g_r, g):
        pass


def weighted_loss(net, data, strategy, trained):
    """The weighted sum of the losses, after an update of the strategy's weights."""
    residual, bc, ic, ic_t = (errors.square().mean() for errors in plain_errors(net, data))
    weights = FIXED
    if strategy is not None:
        groups = [bc, ic + ic_t]
        g_r, *g = (flat_gradient(loss, trained) for loss in (residual, *groups))
        strategy.update(np.array([loss.item() for loss in groups]), g_r, g)
        weights = [1.0, strategy.lam[0], strategy.lam[1], strategy.lam[1]]
    return sum(w * loss for w, loss in zip(weights, [residual, bc, ic, ic_t], strict=True))


def plain_loop(net, data, optimizer, strategy=None):
    """Trains on the weighted sum; the weights are those of the loss's first evaluation."""
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    for _ in range(ITERATIONS):
        first: list[Any] = [strategy]

        def closure(first=first):
            now = first.pop() if first else strategy and Frozen(strategy)
            optimizer.zero_grad()
            loss = weighted_loss(net, data, now, trained)
            loss.backward(inputs=trained)
            return loss

        optimizer.step(closure)
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
@pytest.mark.parametrize("weights", ["fixed", "db-mean"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_against_a_plain_loop(name, weights, engine, float64):
    make, data, plain = OPTIMIZERS[name], klein_gordon(), network(LAYERS)
    start = torch.cat([p.detach().reshape(-1).clone() for p in plain.parameters()])
    strategy = DbMean() if weights == "db-mean" else None
    expected = plain_loop(plain, data, make(plain.parameters()), strategy)

    model = ddb.Model(klein_gordon(), network(LAYERS))
    dynamic = {"loss_weights": ddb.DB("mean", update_every=1), "loss_groups": GROUPS}
    model.compile(
        make(model.net.parameters()),
        gradient_engine=engine,
        verbose=0,
        **(dynamic if strategy else {"loss_weights": FIXED}),
    )
    model.train(iterations=ITERATIONS, verbose=0)
    assert (expected - start).abs().max() > 1e-2
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-10, atol=1e-10)
    if strategy:
        assert [model.weights[g] for g in ("bc", "ic")] == pytest.approx(strategy.lam, rel=1e-8)


class GradientsSeen(dde.callbacks.Callback):
    """The gradients that the optimizer had in each iteration."""

    def on_train_begin(self):
        self.each = []

    def on_batch_end(self):
        self.each.append([p.grad.clone() for p in self.model.net.parameters()])


@pytest.mark.parametrize("weights", ["fixed", "db-mean"])
@pytest.mark.parametrize("options", [{}, {"precondition_1d": True, "precondition_frequency": 2}])
def test_soap_step_by_step(options, weights, float64):
    """SOAP as its users make it, on a network as they make it.

    Rounding errors of 1e-15 in the gradients make its parameters differ by 0.1 after 25 iterations.
    So each iteration starts from the model's parameters: the gradients are compared, and the same
    SOAP makes the same step from the model's gradients.
    """
    seen, strategy = GradientsSeen(), DbMean() if weights == "db-mean" else None
    model = ddb.Model(klein_gordon(), network())
    dynamic = {"loss_weights": ddb.DB("mean", update_every=1), "loss_groups": GROUPS}
    model.compile(
        SOAP(model.net.parameters(), lr=3e-3, **options),
        verbose=0,
        **(dynamic if strategy else {"loss_weights": FIXED}),
    )
    model.train(iterations=ITERATIONS, callbacks=[seen], verbose=0)

    net, data = network(), klein_gordon()
    parameters = list(net.parameters())
    soap = SOAP(parameters, lr=3e-3, **options)
    for gradients in seen.each:
        weighted_loss(net, data, strategy, parameters).backward()
        for p, g in zip(parameters, gradients, strict=True):
            torch.testing.assert_close(p.grad, g, rtol=1e-10, atol=1e-10)
            p.grad = g
        soap.step()
        soap.zero_grad()
    assert len(seen.each) == ITERATIONS
    assert all(torch.equal(p, q) for p, q in zip(parameters, model.net.parameters(), strict=True))


@pytest.mark.parametrize("engine", ["one-pass", "per-group", "compiled"])
def test_a_part_of_the_network(engine, float64, compilations):
    """The statistics are over what is trained, and the rest stays as it is."""
    net, data = network(), klein_gordon()
    expected = plain_loop(net, data, torch.optim.Adam(net.linears[1].parameters(), 1e-2), DbMean())
    model = ddb.Model(klein_gordon(), network())
    model.compile(
        torch.optim.Adam(model.net.linears[1].parameters(), lr=1e-2),
        loss_weights=ddb.DB("mean", update_every=1),
        loss_groups=GROUPS,
        gradient_engine=engine,
        verbose=0,
    )
    model.train(iterations=ITERATIONS, verbose=0)
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-10, atol=1e-10)
    first = model.net.linears[0].weight
    assert torch.equal(first, network().linears[0].weight)
    assert first.grad is None


def test_a_layer_given_to_the_optimizer_later(float64):
    model = ddb.Model(klein_gordon(), network())
    first, *others = model.net.linears
    adam = torch.optim.Adam([p for layer in others for p in layer.parameters()], lr=1e-2)
    model.compile(adam, loss_weights="db-mean", verbose=0)
    model.train(iterations=3, verbose=0)
    before = first.weight.detach().clone()
    assert torch.equal(before, network().linears[0].weight)
    adam.add_param_group({"params": list(first.parameters())})
    model.train(iterations=1, verbose=0)
    assert (first.weight - before).abs().min() > 1e-3  # Adam's first step is of size lr


def test_nncg_as_an_object_is_nncg_by_name(float64, optimizer_options):
    options = {"lr": 1, "rank": 5, "mu": 10.0, "update_freq": 2, "cg_max_iters": 3}
    optimizer_options.nncg.update(lr=1, rank=5, mu=10.0, updatefreq=2, cgmaxiter=3)
    models = []
    for by_name in (True, False):
        model = ddb.Model(klein_gordon(), network())
        nncg = dde.optimizers.pytorch.nncg.NNCG(model.net.parameters(), **options)
        model.compile("NNCG" if by_name else nncg, loss_weights="grad-norm", verbose=0)
        torch.manual_seed(0)
        model.train(iterations=4, verbose=0)
        models.append(model)
    assert torch.equal(*map(parameters_of, models))
    assert not torch.equal(parameters_of(models[0]), parameters_of(ddb.Model(None, network())))
