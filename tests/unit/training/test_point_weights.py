"""SA: weights per point against plain autograd; they follow their points; what is refused."""

import copy
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.plain import GROUPS, plain_errors
from _support.scripts import klein_gordon, laplace, network, parameters_of

import deepxde_balance as ddb
from deepxde_balance.training.point_weights import positions

pytestmark = pytest.mark.usefixtures("large_problem")

ITERATIONS = 30


def reference(net, data, lr, starts, iterations=ITERATIONS):
    """McClenny & Braga-Neto: descent in the network, ascent in the points' weights."""
    parameters = list(net.parameters())
    torch.manual_seed(7)
    number = [len(e) for e in plain_errors(net, data)]
    weights = [
        (torch.rand(n, dtype=torch.float64) * s).requires_grad_()
        for n, s in zip(number, starts, strict=True)
    ]
    descent = torch.optim.Adam(parameters, lr=1e-2)
    ascent = torch.optim.Adam(weights, lr=lr, maximize=True)
    for _ in range(iterations):
        errors = plain_errors(net, data)
        loss = sum(((w[:, None] * e) ** 2).mean() for w, e in zip(weights, errors, strict=True))
        descent.zero_grad()
        ascent.zero_grad()
        loss.backward()
        descent.step()
        ascent.step()
    return torch.cat([p.detach().reshape(-1) for p in parameters]), weights


@pytest.mark.parametrize("way", ["one-pass", "per-group", "LossWeighting"])
def test_network_and_weights_follow_the_paper(way, float64):
    data, net = klein_gordon(), network()
    expected, weights = reference(copy.deepcopy(net), data, 0.05, [2.0, 30.0, 30.0, 30.0])
    sa = ddb.SA(lr=0.05, residual_start=2.0, condition_start=30.0)
    if way == "LossWeighting":
        model, callbacks = dde.Model(data, net), [ddb.LossWeighting(sa, GROUPS)]
        model.compile("adam", lr=1e-2, verbose=0)
    else:
        model, callbacks = ddb.Model(data, net), None
        model.compile(
            "adam", lr=1e-2, loss_weights=sa, loss_groups=GROUPS, gradient_engine=way, verbose=0
        )
    torch.manual_seed(7)
    model.train(iterations=ITERATIONS, callbacks=callbacks, verbose=0)
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-9, atol=1e-10)
    shown = model.losshistory.loss_weights[-1]
    assert shown["pde"] == pytest.approx((weights[0] ** 2).mean().item(), rel=1e-9)
    assert shown["bc"] == pytest.approx((weights[1] ** 2).mean().item(), rel=1e-9)
    ic = torch.cat(weights[2:])
    assert shown["ic"] == pytest.approx((ic**2).mean().item(), rel=1e-9)
    unweighted = [(e**2).mean().item() for e in plain_errors(net, data)]
    np.testing.assert_allclose(model.losshistory.loss_train[-1], unweighted, rtol=1e-9)


def compiled(sa=None, data=None, **arguments):
    model = ddb.Model(data or klein_gordon(), network())
    model.compile("adam", lr=1e-2, loss_weights=sa or ddb.SA(), verbose=0, **arguments)
    return model


def test_points_keep_their_weights_and_new_ones_get_fresh_ones(monkeypatch):
    """Half of the residual points are exchanged; those that stay keep weight and moments."""
    data = klein_gordon()
    model = compiled(ddb.SA(residual_start=1e-6), data)
    model.train(iterations=20, verbose=0)
    weighting = model.weighting
    state = weighting.get_extra_state()
    before, moments_before = state["points"][0], state["adam"][0]["exp_avg_sq"].clone()
    assert (moments_before > 0).all()
    assert (before > 1e-3).all()  # all have climbed away from where they start
    old = data.train_x_all.copy()
    fresh = np.random.default_rng(0).random((10, 2)).astype(np.float32)
    data.replace_with_anchors(np.vstack([old[30:], fresh, old[:5]]))
    seen = []
    original = type(weighting).ascend

    def ascend(self, *arguments):
        state = self.get_extra_state()
        seen.append((state["points"][0], state["adam"][0]["exp_avg_sq"].clone()))
        original(self, *arguments)

    monkeypatch.setattr(type(weighting), "ascend", ascend)
    model.train(iterations=1, verbose=0)
    ((weights, moments),) = seen
    kept = len(old) - 30
    assert torch.equal(weights[:kept], before[30:])
    assert (weights[kept : kept + 10] <= 1e-6).all()
    assert torch.equal(weights[kept + 10 :], before[:5])
    assert torch.equal(moments[:kept], moments_before[30:])
    assert (moments[kept : kept + 10] == 0).all()
    assert torch.equal(moments[kept + 10 :], moments_before[:5])


def test_positions():
    before = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    now = np.array([[4.0, 5.0], [9.0, 9.0], [0.0, 1.0]])
    assert positions(before, now).tolist() == [2, -1, 0]


def test_periodic_conditions_have_one_weight_for_two_points():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.PeriodicBC(geom, 0, lambda x, on: on and np.isclose(x[0] * (1 - x[0]), 0))
    data = laplace(geom, [bc])
    model = compiled(data=data)
    model.train(iterations=2, verbose=0)
    assert model.weighting.number(1) == data.num_bcs[0] // 2
    data.resample_train_points(bc_points=True)
    model.train(iterations=2, verbose=0)
    assert model.weighting.number(1) == data.num_bcs[0] // 2


def test_unweighted_terms_stay_at_weight_one(float64):
    data, net = klein_gordon(), network()
    twin = copy.deepcopy(net)
    model = ddb.Model(data, net)
    model.compile(
        "sgd", lr=1e-2, loss_weights=ddb.SA(), loss_groups={"ic": [1, 2], "unweighted": [0]},
        verbose=0,
    )  # fmt: skip
    torch.manual_seed(3)
    model.train(iterations=1, verbose=0)
    torch.manual_seed(3)
    errors = plain_errors(twin, data)
    starts = {0: 1.0, 2: 100.0, 3: 100.0}
    loss = (errors[1] ** 2).mean()
    for i, start in starts.items():
        loss = loss + ((torch.rand(len(errors[i]))[:, None] * start * errors[i]) ** 2).mean()
    loss.backward()
    expected = torch.cat([(p - 1e-2 * p.grad).detach().reshape(-1) for p in twin.parameters()])
    torch.testing.assert_close(parameters_of(model), expected, rtol=1e-9, atol=1e-12)


def test_keep_freezes_the_weights_of_the_points():
    model = compiled()
    model.train(iterations=5, verbose=0)
    before = model.weighting.get_extra_state()["points"]
    model.compile("adam", lr=1e-2, loss_weights="keep", verbose=0)
    model.train(iterations=5, verbose=0)
    after = model.weighting.get_extra_state()["points"]
    assert all(torch.equal(before[i], after[i]) for i in range(4))


def test_lbfgs_sees_the_same_weights_throughout_a_step(optimizer_options, monkeypatch):
    optimizer_options.lbfgs.update(maxiter=10, iter_per_step=10)
    model = ddb.Model(klein_gordon(), network())
    model.compile("L-BFGS", loss_weights=ddb.SA(), verbose=0)
    weighting: Any = model.weighting
    at_first = plain_errors(model.net, model.data)
    seen, ascended = [], []
    loss_of, ascend_by = ddb.SA.loss, ddb.SA.ascend

    def loss(self, term, errors):
        seen.append(self.get_extra_state()["points"][term].clone())
        return loss_of(self, term, errors)

    def ascend(self, errors, *arguments):
        ascended.append(dict(errors))
        ascend_by(self, errors, *arguments)

    monkeypatch.setattr(ddb.SA, "loss", loss)
    monkeypatch.setattr(ddb.SA, "ascend", ascend)
    model.train(verbose=0)
    for i, errors in enumerate(at_first):  # the weights climb where the step began
        torch.testing.assert_close(ascended[0][i], errors.detach(), rtol=1e-4, atol=1e-5)
    of_bc = [w for w in seen if len(w) == weighting.number(1)]
    assert len(of_bc) > 10 and all(torch.equal(w, of_bc[0]) for w in of_bc)
    assert not torch.equal(model.weighting.get_extra_state()["points"][1], of_bc[0])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: compiled(loss="MAE"), 'compile with loss="MSE"'),
        (lambda: compiled(ddb.SA(lr=0)), "lr=0 is not allowed"),
        (lambda: compiled(ddb.SA(condition_start=-1)), "condition_start=-1"),
        (
            lambda: compiled(
                data=dde.data.Function(dde.geometry.Interval(0, 1), np.sin, num_train=5, num_test=5)
            ),
            "errors at the points",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_stock_model_with_another_loss():
    model = dde.Model(klein_gordon(), network())
    model.compile("adam", lr=1e-3, loss="MAE", verbose=0)
    with pytest.raises(ValueError, match='compile with loss="MSE"'):
        model.train(iterations=1, callbacks=[ddb.LossWeighting("sa")], verbose=0)


@pytest.mark.parametrize("stock", [False, True])
def test_points_that_changed_between_two_phases_are_followed(stock):
    """A point that stays has its weight, wherever it stands now; new points have others."""
    dde.config.set_random_seed(4)
    data, net = klein_gordon(), network()
    callback = ddb.LossWeighting("sa")
    model = dde.Model(data, net) if stock else ddb.Model(data, net)
    callbacks = [callback] if stock else []

    def compile_with(weights):
        kwargs = {} if stock else {"loss_weights": weights}
        model.compile("adam", lr=1e-3, verbose=0, **kwargs)

    def of_residual():
        weighting = callback.weighting if stock else model.weighting
        return weighting.get_extra_state()["points"][0].clone()

    compile_with("sa")
    model.train(iterations=2, callbacks=callbacks, verbose=0)
    before, points = of_residual(), data.train_x_all.copy()
    data.replace_with_anchors(np.concatenate([points[:1] * 0 + 0.123, points[::-1][:-1]]))
    compile_with("keep")
    model.train(iterations=1, callbacks=callbacks, verbose=0)
    after = of_residual()
    now = data.train_x_all
    same = [(i, j) for i, p in enumerate(now) for j, q in enumerate(points) if (p == q).all()]
    assert len(same) >= len(points) - 1
    for i, j in same:
        # Without "keep" the weights make one more step of their Adam(0.005).
        assert after[i] == pytest.approx(float(before[j]), abs=0.006 if stock else 0)
