"""Conditions that an output transform fixes: which they are, and that strategies leave them alone.

The oracles are the transforms, from which one sees what is fixed, and the same problem without the
condition, which must train alike.
"""

import random
import warnings
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.scripts import network, parameters_of

import deepxde_balance as ddb
from deepxde_balance.terms.find_terms import find_terms
from deepxde_balance.terms.groups import group_terms
from deepxde_balance.training.hard_constraints import hard_constraints


def sine(x):
    return torch.sin(np.pi * x[:, 0:1])  # at x = 1 it is a rounding error


def zero(x):
    return 0 * x[:, :1]


def geometry():
    return dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))


def on_side(x, side):
    return np.isclose(x[0], side)


def dirichlet(geom, on=lambda _, on: on):
    return dde.icbc.DirichletBC(geom, zero, on)


def initial(geom):
    return dde.icbc.IC(geom, lambda x: np.sin(np.pi * x[:, :1]), lambda _, on: on)


def at_rest(geom):
    return dde.icbc.OperatorBC(
        geom, lambda x, u, _: dde.grad.jacobian(u, x, i=0, j=1), lambda x, _: np.isclose(x[1], 0)
    )


def heat(x, u):
    return dde.grad.jacobian(u, x, i=0, j=1) - 0.1 * dde.grad.hessian(u, x, i=0, j=0)


def problem(conditions, pde=heat):
    dde.config.set_random_seed(7)
    geom = geometry()
    made = [condition(geom) for condition in conditions]
    return dde.data.TimePDE(geom, pde, made, num_domain=60, num_boundary=20, num_initial=20)


def transformed(output=None, features=None, inputs=2):
    net = network((inputs, 10, 10, 1))
    if output is not None:
        net.apply_output_transform(output)
    if features is not None:
        net.apply_feature_transform(features)
    return net


def stock(data, net):
    model = dde.Model(data, net)
    model.compile("adam", lr=1e-2, verbose=0)
    return model


def names_of_met(model):
    groups = group_terms(find_terms(model))
    return [groups.terms[i].name for i in hard_constraints(model, groups)]


def compiled(strategy, data, net, **arguments):
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-2, loss_weights=strategy, verbose=0, **arguments)
    return model


def numpy_state():
    return np.random.get_state(legacy=False)["state"]["key"].copy()


def left(geom):
    return dirichlet(geom, lambda x, _: on_side(x, 0))


def right(geom):
    return dirichlet(geom, lambda x, _: on_side(x, 1))


def insulated(geom):
    return dde.icbc.NeumannBC(geom, zero, lambda _, on: on)


def periodic(order):
    return lambda geom: dde.icbc.PeriodicBC(geom, 0, lambda _, on: on, derivative_order=order)


def hot(geom):
    value = 300.0
    return dde.icbc.IC(geom, lambda x: value + zero(x), lambda _, on: on)


def hydrostatic(geom):
    return dde.icbc.OperatorBC(
        geom, lambda x, u, _: u - 9810 * (1 - x[:, 0:1]), lambda x, _: on_side(x, 1)
    )


def exactly_there(geom):
    """The function has another value beside the points."""
    return dde.icbc.OperatorBC(
        geom,
        lambda x, u, _: u - torch.where(x[:, 0:1] == 1, 0.0, 100.0),
        lambda x, _: on_side(x, 1),
    )


def rising(x):
    angle = 2 * np.pi * x[:, 0:1]
    return torch.cat([torch.sin(angle), torch.cos(angle), x[:, 1:2]], dim=1)


#: The network, the conditions, and the names of those that it meets.
CASES: dict[str, tuple[dict[str, Any], list[Any], list[str]]] = {
    "sine": (dict(output=lambda x, u: sine(x) * u), [dirichlet, initial], ["bc0"]),
    "sine, nan outside": (
        dict(output=lambda x, u: sine(x) * (1 - x[:, 0:1] ** 2 + 1e-12).sqrt() * u),
        [dirichlet, initial],
        ["bc0"],
    ),
    "polynomial: exactly 0, without a gradient": (
        dict(output=lambda x, u: x[:, 0:1] * (1 - x[:, 0:1]) * u),
        [initial, dirichlet],
        [],
    ),
    "initial state and velocity: exactly 0": (
        dict(output=lambda x, u: sine(x) + x[:, 1:2] ** 2 * u),
        [initial, at_rest, right],
        [],
    ),
    "a value of 300": (
        dict(output=lambda x, u: 300 * (1 + torch.sin(np.pi * (1 - x[:, 1:2])) * u)),
        [dirichlet, hot],
        ["ic1"],
    ),
    "one side of two": (
        dict(output=lambda x, u: torch.sin(np.pi * (1 - x[:, 0:1]) / 2 + np.pi / 2) * u),
        [left, right, initial],
        ["bc0"],
    ),
    "one side of a condition for both": (
        dict(output=lambda x, u: x[:, 0:1] * u),
        [dirichlet, initial],
        [],
    ),
    "flux": (
        dict(output=lambda x, u: sine(x) ** 2 * u),
        [insulated, initial],
        ["bc0"],
    ),
    "periodic features": (
        dict(features=rising, inputs=3),
        [periodic(0), periodic(1), initial],
        ["bc0", "bc1"],
    ),
    "a change that is lost beside 300": (
        dict(output=lambda x, u: 300 + sine(x) ** 2 * u),
        [dirichlet, initial],
        ["bc0"],
    ),
    "another value than that of the condition": (
        dict(output=lambda x, u: 0.333 * x[:, 0:1] + sine(x) * u),
        [dirichlet, initial],
        ["bc0"],
    ),
    "a small network added to a known field": (
        dict(output=lambda x, u: x[:, 0:1] + 1e-4 * u),
        [dirichlet, initial, at_rest],
        [],
    ),
    "targets in the inputs": ({}, [hydrostatic, exactly_there, initial], []),
    "features that are not defined before the start": (
        dict(features=lambda x: torch.cat([x[:, 0:1], torch.log(x[:, 1:2] + 1e-9)], dim=1)),
        [initial, dirichlet, initial],
        [],
    ),
    "nothing": ({}, [dirichlet, initial, at_rest, periodic(0), insulated], []),
    "tiny units": (dict(output=lambda x, u: 1e-12 * u), [dirichlet, at_rest, initial], []),
    "huge units": (dict(output=lambda x, u: 1e12 * u), [dirichlet, at_rest, initial], []),
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_finds_what_the_transform_meets(case, precision, request):
    if precision == "float64":
        request.getfixturevalue("float64")
    options, conditions, met = CASES[case]
    assert names_of_met(stock(problem(conditions), transformed(**options))) == met


def trained(strategy, conditions):
    model = compiled(strategy, problem(conditions), transformed(lambda x, u: sine(x) * u))
    history, _ = model.train(iterations=30, display_every=10, verbose=0)
    return model.weights, np.array(history.loss_train)


@pytest.mark.parametrize("strategy", ["db-kurtosis", "dn", "ntk-exact", "relobralo", "sa"])
def test_trains_as_without_the_condition(strategy, float64):
    with pytest.warns(UserWarning, match="fixes 'bc2' "):
        weights, losses = trained(strategy, [initial, at_rest, dirichlet])
    weights_without, losses_without = trained(strategy, [initial, at_rest])
    assert weights == pytest.approx(weights_without, rel=1e-6)
    assert losses[:, :3] == pytest.approx(losses_without, rel=1e-6)
    assert (losses[:, 3] < 1e-25).all()


def test_auto_trains_nearly_as_without_the_condition(float64):
    """Its estimates of the kernel draw one random number for each point, also of the condition."""
    with pytest.warns(UserWarning, match="fixes 'bc2' "):
        weights, _ = trained("auto", [initial, at_rest, dirichlet])
    without, _ = trained("auto", [initial, at_rest])
    assert weights == pytest.approx(without, rel=0.3)


def test_the_warning_names_the_line_of_the_script():
    data, net = problem([dirichlet, initial]), transformed(lambda x, u: sine(x) * u)
    with pytest.warns(UserWarning, match="so 'auto' leaves such a condition") as caught:
        ddb.Model(data, net).compile("adam", lr=1e-3, loss_weights="auto", verbose=0)
    assert [one.filename for one in caught] == [__file__]


@pytest.mark.parametrize("weights", [None, "equal", [1, 2, 3]])
def test_without_a_strategy_nothing_is_said(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(weights, problem([dirichlet, initial]), transformed(lambda x, u: sine(x) * u))


def test_a_condition_that_is_met_now_is_weighed():
    """The network gives 0 now, which its last layer can change."""
    net = transformed()
    torch.nn.init.zeros_(net.linears[-1].weight)
    assert names_of_met(stock(problem([dirichlet, at_rest]), net)) == []


def test_a_learned_condition_is_weighed():
    model = stock(problem([dirichlet]), transformed())
    model.train(iterations=300, verbose=0)
    assert model.train_state.loss_train[1] < 1e-4
    assert names_of_met(model) == []


def test_a_condition_of_an_external_variable_is_weighed():
    """u = a at x = 0, and a is learned."""
    variable = dde.Variable(1.0)
    net = transformed(lambda x, u: variable + sine(x) * u)
    model = dde.Model(problem([left, initial]), net)
    model.compile("adam", lr=1e-2, external_trainable_variables=[variable], verbose=0)
    assert names_of_met(model) == []


def test_groups_of_the_user():
    """A group loses the condition; one that has no other is gone."""
    conditions = [dirichlet, initial, at_rest]
    early = lambda x: torch.sin(np.pi * (1 - x[:, 1:2]))  # noqa: E731
    net = transformed(lambda x, u: sine(x) + sine(x) * early(x) * u)
    with pytest.warns(UserWarning, match=r"fixes 'bc0' .*, 'ic1' .* by construction"):
        model = compiled("auto", problem(conditions), net, loss_groups={"bc": [0], "start": [1, 2]})
    assert list(model.weights) == ["pde", "start"]


def test_the_errors_that_stay_are_told():
    """sin(pi x) is fixed where the condition asks for 0.02 more."""
    shifted = dde.icbc.IC(geometry(), lambda x: np.sin(np.pi * x[:, :1]) + 0.02, lambda _, on: on)
    data = problem([dirichlet, lambda geom: shifted])
    with pytest.warns(UserWarning, match=r"fixes 'ic1' \(errors of 2e-02\)"):
        early = lambda x: torch.sin(np.pi * (1 - x[:, 1:2]))  # noqa: E731
        compiled("auto", data, transformed(lambda x, u: sine(x) + early(x) * u))


def test_no_condition_left_is_an_error():
    model = ddb.Model(problem([dirichlet]), transformed(lambda x, u: sine(x) * u))
    with (
        pytest.warns(UserWarning, match="fixes 'bc0' "),
        pytest.raises(ValueError, match="'auto' has nothing to weigh"),
    ):
        model.compile("adam", lr=1e-3, loss_weights="auto", verbose=0)
    assert model.opt is None


def test_a_reference_stays():
    """Without a PDE, a condition is the reference."""
    data = problem([dirichlet, initial], pde=None)
    net = transformed(lambda x, u: sine(x) * u)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = compiled("dn", data, net, loss_groups={"reference": [0]})
    assert list(model.weights) == ["reference", "ic1"]


def test_the_model_is_left_as_it_was():
    """Parameters to the bit, random states, the network's mode, points, and cached targets."""
    data, net = problem([dirichlet, initial]), transformed(lambda x, u: sine(x) * u)
    model = stock(data, net)
    net.eval()
    groups = group_terms(find_terms(model))
    before, points = parameters_of(model).clone(), data.train_x.copy()
    errors = [float(loss) for loss in model._outputs_losses(True, *data.train_next_batch())[1]]
    net.eval()
    states = (torch.get_rng_state(), numpy_state(), random.getstate())
    assert hard_constraints(model, groups)
    assert torch.equal(parameters_of(model), before)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(numpy_state(), states[1])
    assert random.getstate() == states[2]
    assert not net.training and net.auxiliary_vars is None
    assert np.array_equal(data.train_x, points)
    after = [float(loss) for loss in model._outputs_losses(True, *data.train_next_batch())[1]]
    assert after == errors


def strict(geom):
    """The function fails away from the points."""

    def value(x, u, _):
        if not ((x[:, 1] == 0) | (x[:, 0] == 0) | (x[:, 0] == 1)).all():
            raise RuntimeError("Only at the boundary.")
        return u

    return dde.icbc.OperatorBC(geom, value, lambda _, on: on)


def test_a_function_that_takes_no_other_inputs_is_weighed():
    """The others are still looked at."""
    data = problem([strict, dirichlet, initial], pde=None)
    assert names_of_met(stock(data, transformed(lambda x, u: sine(x) * u))) == ["bc1"]


def test_frozen_parameters_stay():
    """The wavelength of the sine is a frozen parameter of the network."""
    net = transformed()
    net.wavenumber = torch.nn.Parameter(torch.tensor(np.pi, dtype=torch.float32), False)
    net.apply_output_transform(lambda x, u: torch.sin(net.wavenumber * x[:, 0:1]) * u)
    assert names_of_met(stock(problem([dirichlet, initial]), net)) == ["bc0"]


def test_an_external_variable_moves_too():
    """The amplitude is learned, but does not change the zeros of the sine."""
    variable = dde.Variable(2.0)
    model = dde.Model(
        problem([dirichlet, initial]), transformed(lambda x, u: variable * sine(x) * u)
    )
    model.compile("adam", lr=1e-2, external_trainable_variables=[variable], verbose=0)
    assert names_of_met(model) == ["bc0"]
    assert variable.item() == 2


def test_random_numbers_are_drawn_on_the_cpu(monkeypatch):
    """A GPU's default device can't take the CPU's generator."""
    original = torch.randn

    def strict_randn(*size, device=None, **kwargs):
        assert device == "cpu"
        return original(*size, device=device, **kwargs)

    model = stock(problem([dirichlet, initial]), transformed(lambda x, u: sine(x) * u))
    monkeypatch.setattr(torch, "randn", strict_randn)
    assert names_of_met(model) == ["bc0"]


def test_kept_weights_and_checkpoints(tmp_path):
    data, net = problem([dirichlet, initial, at_rest]), transformed(lambda x, u: sine(x) * u)
    with pytest.warns(UserWarning, match="fixes 'bc0' "):
        model = compiled("auto", data, net)
    model.train(iterations=20, verbose=0)
    path = model.save(str(tmp_path / "model"))
    weights = model.weights
    model.train(iterations=10, verbose=0)
    model.compile("L-BFGS", loss_weights="keep", verbose=0)
    assert list(model.weights) == ["pde", "ic1", "ic2"]
    with pytest.warns(UserWarning, match="fixes 'bc0' "):
        model.compile("adam", lr=1e-2, loss_weights="auto", verbose=0)
    model.restore(path, verbose=0)
    assert model.weights == weights


def test_loss_weighting_and_keep():
    model = stock(problem([dirichlet, initial, at_rest]), transformed(lambda x, u: sine(x) * u))
    groups = {"bc": [0], "ic": [1], "rest": [2]}
    weighting = ddb.LossWeighting("auto", loss_groups=groups)
    with pytest.warns(UserWarning, match="fixes 'bc0' "):
        model.train(iterations=5, callbacks=[weighting], verbose=0)
    assert list(weighting.weights) == ["pde", "ic", "rest"]
    kept = ddb.LossWeighting("keep", loss_groups=groups)
    model.train(iterations=5, callbacks=[kept], verbose=0)
    assert kept.weights == weighting.weights


def test_diagnose_says_so():
    data = problem([dirichlet, initial])
    model = stock(data, transformed(lambda x, u: sine(x) * u))
    diagnosis = ddb.diagnose(model)
    assert "Fixed by construction (hard constraint): bc0 (errors of " in diagnosis.verdict
    assert "units" not in diagnosis.verdict and "times smaller than ic" not in diagnosis.verdict
    assert diagnosis.recommended == "auto"
    assert "weighs the one condition" in diagnosis.verdict


def test_diagnose_with_nothing_else():
    model = stock(problem([dirichlet]), transformed(lambda x, u: sine(x) * u))
    diagnosis = ddb.diagnose(model)
    assert diagnosis.recommended == "equal"
    assert "the network fixes all other terms by construction" in diagnosis.verdict
