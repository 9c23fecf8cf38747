"""Terms in other units are told after the first update, with factors that would do."""

import re
import warnings

import deepxde as dde
import pytest

import deepxde_balance as ddb


def model_of(units, loss_weights, kind=ddb.Model, **given):
    """Two residuals and two conditions, the errors of each in units of its own."""
    geom = dde.geometry.Interval(0, 1)

    def pde(x, u):
        du = dde.grad.jacobian(u, x)
        return [units[0] * (du - 1), units[1] * (du + u)]

    def condition(unit, on):
        return dde.icbc.OperatorBC(geom, lambda x, u, _: unit * (u - x - 1), on)

    left = condition(units[2], lambda x, on: on and x[0] < 0.5)
    right = condition(units[3], lambda x, on: on and x[0] > 0.5)
    dde.config.set_random_seed(0)
    data = dde.data.PDE(geom, pde, [left, right], num_domain=20, num_boundary=2)
    model = kind(data, dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal"))
    weights = {} if kind is dde.Model else {"loss_weights": loss_weights}
    model.compile("adam", lr=1e-3, verbose=0, **weights, **given)
    return model


def told(model, callbacks=()):
    """The warnings of a short training."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train(iterations=4, display_every=2, verbose=0, callbacks=list(callbacks))
    return [str(w.message) for w in caught if "other units" in str(w.message)]


def factors(message):
    return {k: float(v) for k, v in re.findall(r'"(\w+)": ([\d.e+-]+)', message)}


OTHER = [1.0, 1.0, 1e6, 1e-3]  # of bc0 and bc1, 1e18 apart as squares


@pytest.mark.parametrize("strategy", ["dn", "db-kurtosis", "ntk", "auto", "softadapt", "capu"])
def test_factors_that_would_do(strategy):
    (message,) = told(model_of(OTHER, strategy))
    found = factors(message)
    assert found["bc0"] * 1e12 == pytest.approx(1, abs=1000) and found["bc0"] * 1e12 > 1e-3
    assert 1e-3 < found.get("bc1", 1.0) * 1e-6 < 1e3 or "bc1" not in found
    weighting = ddb.weightings.get(strategy, scale=found)
    assert told(model_of(OTHER, weighting)) == []


def test_like_units_are_not_told():
    assert told(model_of([1, 1, 1, 1], "dn")) == []
    assert told(model_of([1e3, 1, 1, 1], "dn")) == []


def test_present_factors_are_in_those_that_are_told():
    (message,) = told(model_of(OTHER, ddb.DN(scale={"bc0": 100.0})))
    (without,) = told(model_of(OTHER, "dn"))
    assert factors(message)["bc0"] == factors(without)["bc0"]


def test_a_condition_that_is_met_is_in_no_other_units():
    """Its loss and gradient are 1e-14 and 1e-7 of others', but a change would be seen."""
    geom = dde.geometry.Interval(0, 1)
    dde.config.set_random_seed(0)
    net = dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal")
    bc = dde.icbc.PointSetBC([[0.0]], [[1e-7]])  # the network is 0 there

    def pde(x, u):
        return dde.grad.jacobian(u, x) - 1

    model = ddb.Model(dde.data.PDE(geom, pde, bc, num_domain=20), net)
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    assert told(model) == []


def test_a_hard_constraint_is_named_as_a_reason():
    """A factor of 1e-7 at all points near the condition's: more than rounding, so it is weighed."""
    geom = dde.geometry.Interval(0, 1)
    dde.config.set_random_seed(0)
    net = dde.nn.FNN([1, 8, 1], "tanh", "Glorot normal")
    net.apply_output_transform(lambda x, u: (1e-7 + (1 - x) ** 2) * u)
    bc = dde.icbc.PointSetBC([[1.0]], [[0.0]])
    data = dde.data.PDE(geom, lambda x, u: dde.grad.jacobian(u, x) - 1, bc, num_domain=20)
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    (message,) = told(model)
    assert "If 'data0' is met by construction (hard constraint)" in message
    assert """leave the condition out, or give loss_groups={"unweighted": ['data0']}""" in message


def test_a_restored_run_is_told_nothing_of_an_update_that_it_has_not_seen(tmp_path):
    """The losses of its first record say nothing of units where the strategy reads gradients."""
    model = model_of(OTHER, "dn")
    told(model)
    path = model.save(str(tmp_path / "model"))
    other = model_of(OTHER, "dn")
    other.restore(path)
    assert told(other) == []


def test_residuals_that_share_a_weight_are_told():
    names = {"momentum": 0, "continuity": 1}
    model = model_of([1e6, 1, 1, 1], "dn", term_names=names)
    (message,) = told(model)
    assert "'continuity' is about" in message
    assert 1e-15 < factors(message)["momentum"] < 1e-9
    assert told(model_of([1e6, 1, 1, 1], ddb.DN(scale=factors(message)), term_names=names)) == []
    assert ddb.diagnose(model_of([1e6, 1, 1, 1], "dn", term_names=names)).scale.keys() == {
        "momentum"
    }


def test_the_callback_tells_it_too():
    model = model_of(OTHER, None, kind=dde.Model)
    assert len(told(model, [ddb.LossWeighting("dn")])) == 1


def test_softadapt_with_a_weight_of_zero():
    model = model_of([1, 1, 1e3, 1], "softadapt")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.train(iterations=30, display_every=5, verbose=0)
    (message,) = [str(w.message) for w in caught if "exactly 0" in str(w.message)]
    iteration = int(re.search(r"at iteration (\d+)", message).group(1))
    again = model_of([1, 1, 1e3, 1], "softadapt")
    zeros = []
    step = again.train_step
    for _ in range(iteration + 1):
        step(*again.data.train_next_batch())
        zeros.append([name for name, weight in again.weights.items() if weight == 0])
    assert not any(zeros[:-1]) and zeros[-1]
    assert f"first {zeros[-1][0]!r}" in message
