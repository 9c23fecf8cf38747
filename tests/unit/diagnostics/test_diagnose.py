"""diagnose: its numbers against plain autograd, its verdicts, and that it leaves no trace."""

import copy
import random

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import operators, scripts

import deepxde_balance as ddb

RESIDUAL = ["to", "residual"]


def compiled(kind=ddb.Model, data=None, **compile_args):
    model = kind(data or scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, verbose=0, **compile_args)
    return model


def with_scaled_residual(factor):
    """The residual's loss, and its gradient, are factor^2 times the ordinary ones."""
    return scripts.klein_gordon(pde=lambda x, u: factor * scripts.klein_gordon_residual(x, u))


def norms_by_autograd(model):
    _, losses = model.outputs_losses_train(*model.data.train_next_batch())
    norms = []
    for loss in losses:
        rows = torch.autograd.grad(
            loss, list(model.net.parameters()), retain_graph=True, allow_unused=True
        )
        norms.append(sum(float((g**2).sum()) for g in rows if g is not None) ** 0.5)
    return losses.tolist(), norms


@pytest.mark.parametrize("kind", [dde.Model, ddb.Model])
def test_numbers_are_those_of_plain_autograd(kind, float64, capsys):
    model = compiled(kind)
    found = ddb.diagnose(model, verbose=1)
    losses, norms = norms_by_autograd(compiled(dde.Model))
    assert found.names == ("pde", "bc0", "ic1", "ic2")
    assert found.points == (61, *model.data.num_bcs) == (61, 12, 9, 9)
    np.testing.assert_allclose(found.losses, losses)
    np.testing.assert_allclose(found.gradient_norms, norms)
    np.testing.assert_allclose(found.ratios, np.array(norms) / norms[0])
    printed = capsys.readouterr().out
    assert printed == f"{found}\n"
    lines = printed.splitlines()
    assert lines[0].split() == ["term", "points", "loss", "gradient", "norm", "ratio", *RESIDUAL]
    of_bc0 = (losses[1], norms[1], norms[1] / norms[0])
    assert lines[2].split() == ["bc0", "12", *(f"{value:.3g}" for value in of_bc0)]
    assert len({len(line) for line in lines[:5]}) == 1


def test_no_mini_batch_is_drawn():
    found = []
    for diagnosed in (False, True):
        model = operators.operator(0, cartesian=True, batch_size=2)
        if diagnosed:
            ddb.diagnose(model)
        model.train(iterations=3, verbose=0)
        found.append(scripts.parameters_of(model))
    assert torch.equal(*found)


def test_silent(capsys):
    found = ddb.diagnose(compiled())
    assert capsys.readouterr().out == ""
    print(found)
    assert capsys.readouterr().out == f"{found!r}\n"  # once, and as in an interactive session


def test_groups_and_static_weights(float64):
    numbers = [2.0, 30.0, 1.0, 1.0]
    model = compiled(loss_weights=numbers)
    found = ddb.diagnose(model, verbose=0)
    _, norms = norms_by_autograd(compiled(dde.Model))
    np.testing.assert_allclose(found.weights, numbers)
    np.testing.assert_allclose(found.ratios, np.array(numbers) * norms / (2 * norms[0]))
    assert str(found).splitlines()[0].split()[5] == "weight"
    grouped = ddb.diagnose(model, {"all": [0, 1, 2]}, verbose=0)
    assert grouped.names == ("pde", "all")
    assert grouped.points == (61, 30)


def test_several_residuals_are_one_reference(float64):
    def pde(x, u):
        residual = scripts.klein_gordon_residual(x, u)
        return [residual, 3 * residual]

    found = ddb.diagnose(compiled(dde.Model, scripts.klein_gordon(pde=pde)), verbose=0)
    assert found.names[:2] == ("pde0", "pde1")
    np.testing.assert_allclose(found.ratios[:2], [0.1, 0.9])  # their gradients are parallel
    assert found.points[:2] == (61, 61)


def test_balanced():
    balanced = (
        "Balanced: gradient norms within a factor of 10. That decides nothing, and may change in "
        "training: ddb.GradientMonitor shows it."
    )
    found = ddb.diagnose(compiled(), verbose=0)
    first, last = found.verdict.splitlines()
    assert first == balanced
    assert last.startswith('Recommended: loss_weights="auto". It weighs each of the 3 conditions')
    weights = (found.gradient_norms.max() / found.gradient_norms).tolist()
    weighted = ddb.diagnose(compiled(loss_weights=weights), verbose=0)
    assert weighted.verdict == found.verdict
    assert found.recommended == weighted.recommended == "auto" and found.scale == {}


@pytest.mark.parametrize("kind", [dde.Model, ddb.Model])
def test_unbalanced(kind):
    model = compiled(kind, with_scaled_residual(100))
    found = ddb.diagnose(model, verbose=0)
    weak = found.names[int(np.argmin(found.gradient_norms))]
    assert weak != "pde"
    factor = found.gradient_norms[0] / found.gradient_norms.min()
    rounded = int(float(f"{factor:.2g}"))
    assert factor > 100
    first, second, *_ = found.verdict.splitlines()
    assert first == (
        f"Unbalanced: {weak}'s gradient is {rounded} times smaller than pde's: with these weights "
        "it will be learned last."
    )
    assert second.startswith("Conditions are the small side beside the residual: bc0 (")
    assert f"{weak} ({rounded} times)" in second
    assert "small side beside bc0" not in found.verdict


def test_uneven_with_one_condition():
    data = scripts.laplace()
    model = compiled(data=data, loss_weights=[500.0, 1.0])
    found = ddb.diagnose(model, verbose=0)
    weighted = found.weights * found.gradient_norms
    assert 10 < weighted[0] / weighted[1] < 100
    assert found.verdict.startswith("Uneven: bc0's gradient is ")
    assert 'loss_weights="auto". It weighs the one condition against' in found.verdict


def test_gradients_of_0():
    model = compiled(loss_weights=[1.0, 0.0, 1.0, 1.0])
    assert "bc0 has weight 0: it is not trained." in ddb.diagnose(model, verbose=0).verdict
    met = scripts.laplace(
        bcs=[dde.icbc.DirichletBC(scripts.laplace().geom, lambda x: 0, lambda _, on: on)]
    )
    model = compiled(data=met)
    for parameter in model.net.parameters():
        torch.nn.init.zeros_(parameter)
    verdict = ddb.diagnose(model, verbose=0).verdict
    assert "pde is met exactly already" in verdict
    assert "bc0 is met exactly already" in verdict
    assert "There are no two terms to balance." in verdict


def test_a_condition_that_an_output_transform_fixes():
    model = compiled(data=scripts.laplace())
    model.net.apply_output_transform(lambda x, u: 0 * u + u.detach())
    verdict = ddb.diagnose(model, verbose=0).verdict
    assert "bc0's gradient is 0: no trainable parameter" in verdict


def test_a_loss_that_is_not_finite():
    data = scripts.klein_gordon(
        pde=lambda x, u: scripts.klein_gordon_residual(x, u) / (0 * x[:, 0:1])
    )
    found = ddb.diagnose(compiled(data=data), verbose=0)
    assert found.verdict.startswith("Broken: the loss or gradient of pde is not finite.")
    assert "Recommended" not in found.verdict
    assert "inf" in str(found) or "nan" in str(found)
    assert np.isfinite(found.losses[1:]).all()


def test_it_leaves_no_trace():
    """Nor in a network that draws random numbers and keeps running means."""
    model = compiled(dde.Model)
    model.net.norm = torch.nn.BatchNorm1d(1)
    model.net.apply_output_transform(
        lambda x, u: model.net.norm(torch.nn.functional.dropout(u)) * np.random.rand()
    )
    model.net.eval()
    model.net.auxiliary_vars = auxiliary_vars = torch.ones(1)
    state = copy.deepcopy(model.net.state_dict())
    train_state = dict(vars(model.train_state))
    chances = (
        random.getstate(),
        np.random.get_state(legacy=False)["state"]["key"].tolist(),
        torch.get_rng_state().tolist(),
    )
    step, mode = model.train_step, model.net.training
    ddb.diagnose(model, verbose=0)
    assert model.train_step is step and model.net.training is mode
    assert all(torch.equal(state[k], v) for k, v in model.net.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.net.parameters())
    assert model.losshistory.steps == [] and model.net.auxiliary_vars is auxiliary_vars
    assert vars(model.train_state) == train_state
    assert chances == (
        random.getstate(),
        np.random.get_state(legacy=False)["state"]["key"].tolist(),
        torch.get_rng_state().tolist(),
    )


def test_a_model_that_is_not_compiled():
    with pytest.raises(ValueError, match="compile it, then diagnose it"):
        ddb.diagnose(dde.Model(scripts.klein_gordon(), scripts.network()))


def test_data_that_does_not_tell_its_terms():
    data = dde.data.DataSet(
        X_train=np.linspace(0, 1, 6)[:, None].repeat(2, 1),
        y_train=np.ones((6, 1)),
        X_test=np.zeros((1, 2)),
        y_test=np.zeros((1, 1)),
    )
    found = ddb.diagnose(compiled(dde.Model, data), verbose=0)
    assert found.names == ("loss",)
    assert found.points == (None,)
    assert "ratio to loss" in str(found)
    assert found.verdict.splitlines()[0] == "There are no two terms to balance."
    assert "DataSet gives one loss, so there is nothing to weigh." in found.verdict
    assert found.recommended == "equal"


def test_a_batch_with_more_points_than_the_residual():
    """Those of a quadrature are no residual points."""
    geom = dde.geometry.TimeDomain(0, 5)

    def ide(x, y, weights):
        integral = torch.as_tensor(weights, dtype=y.dtype) @ y
        return (dde.grad.jacobian(y, x) + y)[: len(weights)] - integral

    ic = dde.icbc.IC(geom, lambda x: 1, lambda _, on: on)
    data = dde.data.IDE(geom, ide, ic, quad_deg=20, num_domain=8, num_boundary=2)
    assert len(data.train_x_all) == 10 < len(data.train_x) - 1
    model = ddb.Model(data, scripts.network((1, 8, 1)))
    model.compile("adam", lr=1e-3, verbose=0)
    found = ddb.diagnose(model, verbose=0)
    assert found.points == (None, 1)
    assert "Few points" not in found.verdict


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="model=3 is not allowed: give a"):
        ddb.diagnose(3)
