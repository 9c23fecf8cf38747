"""What diagnose finds: the small side, conditions that are met, few points, other units."""

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.scripts import laplace_residual

import deepxde_balance as ddb


def linear_model(pde, bcs, values=(1.0, 2.0), weights=None, kind=ddb.Model):
    """u = a x + b on [0, 1] with a, b = `values`, so that all gradients are known by hand."""
    geom = dde.geometry.Interval(0, 1)
    conditions = [
        dde.icbc.PointSetBC(np.array(points, dtype=float)[:, None], np.array(u, dtype=float))
        for points, u in bcs
    ]
    anchors = np.linspace(0, 1, 60)[:, None]
    data = dde.data.PDE(geom, pde, conditions, num_domain=0, anchors=anchors)
    net = dde.nn.FNN([1, 1], "tanh", "Glorot normal")
    with torch.no_grad():
        net.linears[0].weight.fill_(values[0])
        net.linears[0].bias.fill_(values[1])
    model = kind(data, net)
    model.compile("adam", lr=1e-3, verbose=0, **({} if weights is None else weights))
    return model


def slope(factor=1.0, less=0.0):
    """The residual factor (u' - less) of u = a x + b: factor (a - less)."""
    return lambda x, u: factor * (dde.grad.jacobian(u, x) - less)


def lines(model, **arguments):
    return ddb.diagnose(model, verbose=0, **arguments).verdict.splitlines()


def starting(start, found):
    """The one line that starts so; "" if there is none."""
    (line,) = [line for line in found if line.startswith(start)] or [""]
    return line


def test_the_residual_is_the_small_side():
    # Loss (a - 0.99)^2 has the gradient 2 (0.01, 0) = 0.02 long. At x = 0 with u = b = 2, the
    # target 1 gives 2 (0, 1), 100 times as much; the target 1.985 gives 0.03, 1.5 times.
    at = [0.0] * 6
    model = linear_model(slope(less=0.99), [(at, [[1.0]] * 6), (at, [[1.985]] * 6)])
    found = ddb.diagnose(model, verbose=0)
    np.testing.assert_allclose(found.ratios, [1, 100, 1.5], rtol=1e-3)
    line = starting("The residual is the small side", found.verdict.splitlines())
    assert line.startswith("The residual is the small side beside data0, at")
    assert "would give data0 and data1 weights below 1, and may let go of them." in line
    assert "Conditions are the small side" not in found.verdict
    assert found.recommended == "auto"
    assert not any(f'"{name}' in found.verdict for name in ("gw", "dn", "db"))


def test_conditions_are_the_small_side():
    # The residual's gradient is 2 (1, 0); those of the conditions are 2 (0, 0.05) and 2 (0, 0.5).
    at = [0.0] * 6
    model = linear_model(slope(), [(at, [[1.95]] * 6), (at, [[1.5]] * 6)])
    found = lines(model)
    small = starting("Conditions are the small side", found)
    assert small == "Conditions are the small side beside the residual: data0 (20 times)."
    assert not starting("The residual is the small side", found)


@pytest.mark.parametrize("error, line", [(0.0, ""), (5e-5, "data0"), (5e-3, "")])
def test_a_condition_that_is_met(error, line, float64):
    # Loss error^2; the trace of u = b at x = 0 is 1.
    model = linear_model(slope(), [([0.0] * 6, [[2.0 - error]] * 6)])
    found = lines(model)
    nearly = starting("As good as met already", found)
    assert nearly == (
        f"As good as met already: {line}. A change of the parameters by 0.0001 would remove the "
        "loss."
        if line
        else ""
    )
    assert bool(starting("data0 is met exactly already", found)) is (error == 0)
    assert bool(starting("Rules that compare gradients find", found)) is (error < 1e-4)
    assert starting('Recommended: loss_weights="auto"', found)


@pytest.mark.parametrize("number, few", [(1, True), (4, True), (5, False)])
def test_few_points(number, few):
    model = linear_model(slope(), [([0.0] * number, [[1.0]] * number)])
    line = starting("Few points", lines(model))
    assert line.startswith(f"Few points: data0 ({number}), beside 60 of the") is few
    assert bool(line) is few


def test_few_points_beside_few():
    """A residual of 40 points beside one of 4 is not many more than ten times."""
    geom = dde.geometry.Interval(0, 1)
    bc = dde.icbc.PointSetBC(np.zeros((4, 1)), np.ones((4, 1)))
    anchors = np.linspace(0, 1, 40)[:, None]
    data = dde.data.PDE(geom, slope(), bc, num_domain=0, anchors=anchors)
    model = ddb.Model(data, dde.nn.FNN([1, 4, 1], "tanh", "Glorot normal"))
    model.compile("adam", lr=1e-3, verbose=0)
    assert not starting("Few points", lines(model))


def test_a_residual_in_other_units():
    # Traces: (1e-6)^2 for the residual 1e-6 a, and 1 for b.
    model = linear_model(slope(1e-6), [([0.0] * 6, [[1.0]] * 6)])
    found = ddb.diagnose(model, verbose=0)
    line = starting("Other units", found.verdict.splitlines())
    assert line.startswith("Other units: a change of the parameters changes pde about 1e+12 times ")
    assert 'scale={"pde": 1e+12} gives' in line
    assert "small side" not in found.verdict  # a comparison of unlike things
    assert found.recommended == "auto" and found.scale == {}
    assert 'Recommended: loss_weights="auto". It weighs the one' in found.verdict


def residuals_in_other_units(x, u):
    return [slope()(x, u), slope(1e-5)(x, u)]


def test_residuals_in_other_units_share_a_weight():
    # Traces 1 and 1e-10; the condition's is 1.
    model = linear_model(residuals_in_other_units, [([0.0] * 6, [[1.0]] * 6)])
    found = ddb.diagnose(model, verbose=0)
    assert found.scale == {"pde1": pytest.approx(1e10)} and found.recommended == "auto"
    assert 'loss_weights=ddb.Auto(scale={"pde1": 1e+10}). It weighs' in found.verdict
    losses = found.losses[:2] * [1, found.scale["pde1"]]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    # The strategy takes them, and weighs as with like residuals.
    model.compile("adam", lr=1e-3, loss_weights=ddb.Auto(scale=found.scale), verbose=0)
    dde.config.set_random_seed(0)
    model.train(iterations=1, verbose=0)
    like = linear_model(lambda x, u: [slope()(x, u)] * 2, [([0.0] * 6, [[1.0]] * 6)])
    like.compile("adam", lr=1e-3, loss_weights="auto", verbose=0)
    dde.config.set_random_seed(0)
    like.train(iterations=1, verbose=0)
    assert model.weights == pytest.approx(like.weights, rel=1e-4)


def test_residuals_in_other_units_with_a_weight_each():
    model = linear_model(
        residuals_in_other_units,
        [([0.0] * 6, [[1.0]] * 6)],
        weights={"loss_groups": {"pde": [0], "data": [0]}},
    )
    found = ddb.diagnose(model, verbose=0)
    assert "changes pde1 about 1e+10 times less than" in found.verdict
    assert found.scale == {}
    assert 'Recommended: loss_weights="auto". It weighs each of the 2' in found.verdict


def test_residuals_in_other_units_without_a_condition():
    model = linear_model(residuals_in_other_units, [])
    found = ddb.diagnose(model, verbose=0)
    assert found.recommended == "equal" and found.scale == {"pde1": pytest.approx(1e10)}
    assert "fixed numbers for the units, loss_weights=[1, 1e+10]. " in found.verdict
    assert 'there is no condition; loss_groups={"pde": [0]} would' in found.verdict


def test_like_units():
    """Traces 1e-6, 1e6 times apart from that of the condition."""
    model = linear_model(slope(1e-3), [([0.0] * 6, [[1.0]] * 6)])
    assert "Other units" not in ddb.diagnose(model, verbose=0).verdict


def test_losses_tell_units_where_errors_are_not_known():
    class OwnLosses(dde.data.PDE):
        def losses(self, *args, **kwargs):
            return super().losses(*args, **kwargs)

    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geom, lambda x: 1e6, lambda _, on: on)
    data = OwnLosses(geom, laplace_residual, bc, num_domain=30, num_boundary=24)
    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-3, verbose=0)
    found = ddb.diagnose(model, verbose=0)
    ratio = found.losses[1] / found.losses[0]
    power = round(np.log10(ratio))
    line = starting("Other units, or met", found.verdict.splitlines())
    assert line.startswith(
        f"Other units, or met: pde's loss is about 1e+{power} times smaller than bc0's."
    )
    assert f'scale={{"bc0": 1e-{power}}}' in line
    assert ratio > 1e9 and found.scale == {}
