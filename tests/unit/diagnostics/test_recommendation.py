"""The recommendation can always be trained with, and says why it is not "auto"."""

from collections.abc import Callable
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb


class OwnLosses(dde.data.PDE):
    """A data class that computes its losses itself."""

    def losses(self, *args, **kwargs):
        return super().losses(*args, **kwargs)


def own_losses(factor):
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1], lambda _, on: on)

    def pde(x, u):
        return factor * (scripts.laplace_residual(x, u) + 1)

    return OwnLosses(geom, pde, bc, num_domain=30, num_boundary=24)


def hard_constraint(residuals=1):
    geom = dde.geometry.Rectangle([0, 0], [1, 1])

    def pde(x, u):
        residual = scripts.laplace_residual(x, u) + 1
        return residual if residuals == 1 else [residual] * residuals

    return dde.data.PDE(geom, pde, [], num_domain=30)


def without_residual():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    points = np.random.default_rng(0).random((10, 2))
    bcs = [dde.icbc.PointSetBC(points, np.full((10, 1), u)) for u in (1.0, 2.0)]
    return dde.data.PDE(geom, None, bcs, num_domain=0, anchors=points)


def integral_equation():
    geom = dde.geometry.TimeDomain(0, 5)
    ic = dde.icbc.IC(geom, lambda x: 1, lambda _, on: on)

    def ide(x, y, weights):
        integral = torch.as_tensor(weights, dtype=y.dtype) @ y
        return (dde.grad.jacobian(y, x) + y)[: len(weights)] - integral

    return dde.data.IDE(
        geom, ide, ic, quad_deg=5, kernel=lambda x, s: np.exp(s - x), num_domain=8, num_boundary=2
    )


def two_data_sets():
    x = np.linspace(0, 1, 6, dtype=np.float32)[:, None]
    return dde.data.MfDataSet(
        X_lo_train=x, X_hi_train=x, y_lo_train=x, y_hi_train=x, X_hi_test=x, y_hi_test=x
    )


def compiled(data, kind=ddb.Model, inputs=2, **arguments):
    model = kind(data, scripts.network((inputs, 8, 1)))
    model.compile("adam", lr=1e-3, verbose=0, **arguments)
    return model


CASES: dict[str, tuple[Callable[[], Any], int, str, str]] = {
    "klein-gordon": (scripts.klein_gordon, 2, "auto", ""),
    "laplace": (scripts.laplace, 2, "auto", ""),
    "integral equation": (integral_equation, 1, "auto", ""),
    "own losses": (lambda: own_losses(1), 2, "equal", "OwnLosses has losses of its own"),
    "own losses, starved": (lambda: own_losses(1e3), 2, "capu", "OwnLosses has losses of its own"),
    "hard constraint": (hard_constraint, 2, "equal", "there is no condition."),
    "two residuals": (
        lambda: hard_constraint(2),
        2,
        "equal",
        'there is no condition; loss_groups={"pde": [0]} would',
    ),
    "no residual": (without_residual, 2, "equal", "there is no PDE residual to weigh"),
}


@pytest.mark.parametrize("kind", [dde.Model, ddb.Model])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:The weight of")
def test_what_is_recommended_trains(case, kind):
    make, inputs, recommended, reason = CASES[case]
    model = compiled(make(), kind, inputs)
    found = ddb.diagnose(model, verbose=0)
    assert found.recommended == recommended
    assert reason in found.verdict
    assert ('"auto" can\'t be used' in found.verdict) is bool(reason)
    word = f'"{recommended}"'
    how = f"loss_weights={word}" if kind is ddb.Model else f"callbacks=[ddb.LossWeighting({word})]"
    how = "equal weights" if recommended == "equal" else how
    assert found.verdict.splitlines()[-1].startswith(f"Recommended: {how}")
    if kind is ddb.Model:
        model.compile("adam", lr=1e-3, loss_weights=found.recommended, verbose=0)
        callbacks = []
    else:
        callbacks = [] if recommended == "equal" else [ddb.LossWeighting(found.recommended)]
    history, _ = model.train(iterations=2, callbacks=callbacks, verbose=0)
    assert np.isfinite(history.loss_train).all()
    if recommended != "auto":  # the reason is true: it really can't be used
        with pytest.raises(ValueError):
            compiled(make(), ddb.Model, inputs, loss_weights="auto")


def test_a_stock_model_with_numbers():
    model = compiled(scripts.laplace(), dde.Model, loss_weights=[1.0, 10.0])
    verdict = ddb.diagnose(model, verbose=0).verdict
    assert 'callbacks=[ddb.LossWeighting("auto")] and no loss_weights. It' in verdict


def test_losses_that_are_not_told_apart():
    class TwoFidelities(dde.nn.NN):
        def __init__(self):
            super().__init__()
            self.low, self.high = scripts.network((1, 4, 1)), scripts.network((1, 4, 1))

        def forward(self, x):
            return self.low(x), self.high(x)

    model = dde.Model(two_data_sets(), TwoFidelities())
    model.compile("adam", lr=1e-3, verbose=0)
    found = ddb.diagnose(model, verbose=0)
    assert found.recommended == "equal"
    assert "MfDataSet does not tell which of its losses is the residual." in found.verdict


def test_groups_decide_what_is_weighed():
    model = compiled(scripts.klein_gordon(), loss_groups={"pde": [0], "all": [0, 1, 2]})
    assert "It weighs the one condition against" in ddb.diagnose(model, verbose=0).verdict
    numbers = compiled(scripts.klein_gordon(), loss_weights=[1.0, 2.0, 3.0, 4.0])
    assert "It weighs each of the 3 conditions" in ddb.diagnose(numbers, verbose=0).verdict
    two = scripts.klein_gordon(pde=lambda x, u: [scripts.klein_gordon_residual(x, u)] * 2)
    weighted = ddb.diagnose(compiled(two, loss_weights=[1.0, 1.0, 2.0, 3.0, 4.0]), verbose=0)
    assert "It weighs each of the 3 conditions" in weighted.verdict  # not the second residual
    grouped = ddb.diagnose(numbers, {"a": [0, 1], "b": [2]}, verbose=0)
    assert "It weighs each of the 2 conditions" in grouped.verdict
    alone = ddb.diagnose(numbers, {"unweighted": [0, 1, 2]}, verbose=0)
    assert alone.recommended == "equal"
    assert "loss_groups leaves all conditions unweighted." in alone.verdict


def test_conditions_that_an_output_transform_fixes():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: 1, lambda _, on: on)
    model = compiled(scripts.laplace(geom, [bc]))
    inside = lambda x: (x * (1 - x)).prod(dim=1, keepdim=True).clamp(min=0)  # noqa: E731
    model.net.apply_output_transform(lambda x, u: inside(x) * u)
    found = ddb.diagnose(model, verbose=0)
    assert "bc0's gradient is 0: no trainable parameter of the network changes it" in found.verdict
    assert found.recommended == "equal"
    assert "no parameter of the network changes a condition." in found.verdict


def small_residual():
    def pde(x, u):
        return 0.1 * scripts.laplace_residual(x, u)

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: x[:, 0:1] + 1, lambda _, on: on)
    return dde.data.PDE(geom, pde, bc, num_domain=30, num_boundary=24)


def test_a_model_with_a_strategy():
    before = ddb.diagnose(compiled(small_residual(), loss_weights="dn"), verbose=0).verdict
    assert (
        "The model's strategy adapts the weights from the first iteration on. It would begin with "
        'weights below 1 for bc0. Recommended for a fresh training: loss_weights="auto".' in before
    )
    safe = ddb.diagnose(compiled(small_residual(), loss_weights="capu"), verbose=0).verdict
    assert (
        "The model's strategy adapts the weights from the first iteration on. Recommended for"
        in safe
    )
    assert "It would begin" not in safe


def test_a_model_that_was_trained_with_a_strategy():
    model = compiled(small_residual(), loss_weights="dn")
    model.train(iterations=1, verbose=0)
    verdict = ddb.diagnose(model, verbose=0).verdict
    assert "These are the adapted weights of the model's strategy: if a loss does not" in verdict
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    kept = ddb.diagnose(model, verbose=0).verdict
    assert "These are the weights of the phase before, kept. Recommended for a fresh" in kept
    model.compile("adam", lr=1e-3, loss_weights=[1.0, 1.0], verbose=0)
    assert "adapt" not in ddb.diagnose(model, verbose=0).verdict


@pytest.mark.parametrize("kind", [dde.Model, ddb.Model])
def test_the_same_each_time_and_random_states_stay(kind):
    model = compiled(scripts.klein_gordon(), kind)
    torch.manual_seed(1)
    first, state = ddb.diagnose(model, verbose=0), torch.get_rng_state()
    torch.manual_seed(2)
    assert ddb.diagnose(model, verbose=0).verdict == first.verdict
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
