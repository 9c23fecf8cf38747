"""Points in passes against one backward per group on DeepXDE's own losses, for each feature, and
against all points at once.
"""

from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.engines import (
    assert_same_gradients,
    assert_same_parameters,
    build,
    trained,
    weighting_for,
)
from _support.features import FEATURES, FORWARD
from _support.plain import GROUPS

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch

#: Less than the points of any term but one, and no divisor of their numbers.
FEW = 7


@pytest.mark.parametrize("feature", FEATURES)
def test_equal_to_one_backward_per_group(feature, float64):
    weights = weighting_for(feature)
    passes = trained(feature, weights, None, points_per_pass=FEW)
    assert passes.points_per_pass == FEW
    assert passes.gradient_engine == "one-pass"
    per = trained(feature, weights, "per-group")
    assert_same_parameters(passes, per)
    assert passes.weights == pytest.approx(per.weights, rel=1e-8)
    assert_same_records(passes, per)


def assert_same_records(one, other):
    for a, b in (
        (one.losshistory.loss_train, other.losshistory.loss_train),
        (one.losshistory.loss_test, other.losshistory.loss_test),
        (one.losshistory.metrics_test, other.losshistory.metrics_test),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    state, expected = one.train_state, other.train_state
    np.testing.assert_allclose(state.y_pred_train, expected.y_pred_train, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(state.y_pred_test, expected.y_pred_test, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("feature", FORWARD)
def test_forward_autodiff(feature, float64, forward_autodiff):
    weights = weighting_for(feature)
    passes = trained(feature, weights, None, points_per_pass=FEW)
    assert passes.points_per_pass == FEW
    assert_same_parameters(passes, trained(feature, weights, "per-group"))


@pytest.mark.parametrize("points", [1, 2, 30, 10**6])
@pytest.mark.parametrize("feature", ["dirichlet_ic_operator", "interface", "inverse_problem"])
def test_any_number_of_points(feature, points, float64):
    one, _ = build(feature, loss_weights="gw-std", points_per_pass=points)
    per, _ = build(feature, loss_weights="gw-std", gradient_engine="per-group")
    assert_same_gradients(one, per)
    assert one.points_per_pass == (points if points < 10**6 else None)


def test_float32():
    one, _ = build("dirichlet_ic_operator", loss_weights="gw-std", points_per_pass=FEW)
    per, _ = build("dirichlet_ic_operator", loss_weights="gw-std", gradient_engine="per-group")
    assert_same_gradients(one, per, rtol=1e-5)


@pytest.mark.parametrize("name", ["equal", "uw", "sa", "sa-term", "relobralo", "ntk", "capu"])
def test_strategies_that_read_other_things(name, float64):
    """All random numbers are drawn alike, so that also the estimated kernel traces are the same."""
    results = []
    for points in (FEW, 10**6):
        model, _ = build("dirichlet_ic_operator", loss_weights=name, points_per_pass=points)
        model.train(iterations=4, display_every=3, verbose=0)
        results.append(model)
    assert results[0].points_per_pass == FEW
    assert_same_parameters(*results)
    assert results[0].weights == pytest.approx(results[1].weights, rel=1e-8)
    assert_same_records(*results)


def given(x):
    return 1 + x[:, 0]


@pytest.mark.parametrize(
    "rule, weights",
    [
        *((rule, "db-kurtosis:update_every=2") for rule in ("rba", "brdr", "causal", "sa", given)),
        ("brdr", "equal"),
        ("rba", "auto"),
        ("brdr", "ntk-exact"),
    ],
)
def test_point_weights(rule, weights, float64):
    results = []
    for points in (FEW, 10**6):
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile(
            "adam",
            lr=1e-2,
            loss_weights=weights,
            loss_groups=GROUPS,
            point_weights=rule,
            points_per_pass=points,
            verbose=0,
        )
        dde.config.set_random_seed(5)
        resample = dde.callbacks.PDEPointResampler(period=2)
        model.train(iterations=4, display_every=4, callbacks=[resample], verbose=0)
        results.append(model)
    assert results[0].points_per_pass == FEW
    assert_same_parameters(*results)
    for name, expected in results[1].point_weights.items():
        np.testing.assert_allclose(results[0].point_weights[name], expected, rtol=1e-8)


@pytest.mark.filterwarnings("ignore:The point weights of RBA grow from 0")
@pytest.mark.parametrize("feature", ["dirichlet_ic_operator", "inverse_problem"])
@pytest.mark.parametrize("rule", [None, "rba"])
def test_lbfgs(feature, rule, float64, optimizer_options):
    """The loss is evaluated several times in a step; point weights change in the first only."""
    optimizer_options.lbfgs.update(maxiter=6, iter_per_step=3)
    results = []
    ways: list[dict[str, Any]] = [{"points_per_pass": FEW}, {"gradient_engine": "per-group"}]
    for way in ways:
        arguments: dict[str, Any] = {"optimizer": "L-BFGS", "lr": None, "point_weights": rule}
        model, _ = build(feature, loss_weights="gw-std", **arguments, **way)
        model.train(verbose=0)
        results.append(model)
    in_passes, per_group = results
    assert in_passes.points_per_pass == FEW
    assert per_group.gradient_engine == "per-group"
    assert_same_parameters(in_passes, per_group, tolerance=1e-8)


class EngineInTraining(dde.callbacks.Callback):
    """A set of what trained: the engine's name, and the points of a pass."""

    def on_train_begin(self):
        self.found = set()

    def on_epoch_end(self):
        engine = self.model.train_step.engine
        self.found.add((engine.name, engine.points_per_pass))


@pytest.mark.parametrize("weights", ["equal", "db-mean"])
def test_a_callback_on_a_stock_model(weights, float64):
    results = []
    for points in (FEW, None):
        model, script = build("dirichlet_ic_operator", dde.Model)
        callback = ddb.LossWeighting(weights, script.loss_groups, points_per_pass=points)
        seen = EngineInTraining()
        model.train(iterations=5, callbacks=[callback, seen], verbose=0)
        assert seen.found == {("per-group", None) if points is None else ("one-pass", points)}
        results.append(model)
    assert_same_parameters(*results)


def test_a_list_of_numbers(float64):
    """`loss_train` has the weighted losses and the L1 regularization, as DeepXDE records them."""
    results = []
    for model_class, arguments in ((ddb.Model, {"points_per_pass": FEW}), (dde.Model, {})):
        numbers = [1.0, 2.0, 3.0, 4.0]
        model, _ = build("l1_regularization", model_class, loss_weights=numbers, **arguments)
        model.train(iterations=5, display_every=2, verbose=0)
        results.append(model)
    assert results[0].points_per_pass == FEW
    assert_same_parameters(*results)
    assert_same_records(*results)


@pytest.mark.parametrize("name", ["db-std", "ntk-exact"])
def test_static_factors(name, float64):
    results = []
    ways: list[dict[str, Any]] = [{"points_per_pass": FEW}, {"gradient_engine": "per-group"}]
    for way in ways:
        weighting = ddb.weightings.get(name, scale={"pde": 0.01, "bc0": 100.0})
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights=weighting, **way, verbose=0)
        model.train(iterations=3, verbose=0)
        results.append(model)
    assert results[0].points_per_pass == FEW
    assert results[1].gradient_engine == "per-group"
    assert_same_parameters(*results)


def test_each_point_goes_through_the_network_with_few_others(float64):
    """No evaluation of the network has more points, in training and at a record."""
    net = scripts.network()
    numbers: list[int] = []
    net.apply_feature_transform(lambda x: (numbers.append(len(x)), x)[1])
    model = ddb.Model(scripts.klein_gordon(num_test=200, num_domain=2000), net)
    model.compile("adam", lr=1e-2, loss_weights="db-mean", points_per_pass=50, verbose=0)
    model.train(iterations=2, verbose=0)
    assert max(numbers) < 200  # but for a comparison on a few points of every term
    batch = Batch(*model.data.train_next_batch())
    numbers.clear()
    model.train_step.engine.gradients(batch)
    assert max(numbers) == 50
    assert sum(numbers) == len(batch.inputs)
    assert len(numbers) == -(-len(model.data.train_x_all) // 50) + 3  # a piece of each condition


def test_a_record_leaves_the_auxiliary_variables_of_all_points(float64):
    left = []
    for points in (FEW, 10**6):
        model, _ = build("auxiliary_variables", loss_weights="gw-mean", points_per_pass=points)
        model.train(iterations=1, verbose=0)
        left.append(model.net.auxiliary_vars)
    assert torch.equal(*left)
    assert len(left[0]) == len(model.data.train_x)


class ForgetTheCheck(dde.callbacks.Callback):
    """Clears a list after the first iteration, in which losses at a few points are compared."""

    def __init__(self, calls):
        super().__init__()
        self.calls, self.begins = calls, False

    def on_train_begin(self):
        self.begins = True

    def on_epoch_end(self):
        if self.begins:
            self.calls.clear()
        self.begins = False


def test_targets_are_evaluated_once(float64):
    """A condition's targets at the points of all passes are kept."""
    geom, calls = dde.geometry.Interval(0, 1), []
    anchors = np.zeros((90, 1))

    def target(x):
        calls.append(len(x))
        return x + 1

    bc = dde.icbc.DirichletBC(geom, target, lambda x, on: on)
    data = dde.data.PDE(geom, lambda x, u: dde.grad.hessian(u, x), [bc], 50, 0, anchors=anchors)
    model = ddb.Model(data, scripts.network((1, 8, 1)))
    model.compile("adam", lr=1e-2, loss_weights="gw-mean", points_per_pass=FEW, verbose=0)
    model.train(iterations=2, verbose=0)
    model.train(iterations=3, callbacks=[ForgetTheCheck(calls)], verbose=0)
    assert sum(calls) == 0


def test_targets_at_pairs_of_points_are_evaluated_once(float64):
    """The two halves of a condition's points are cut into more pieces than arrays are kept."""
    calls: list[int] = []

    def target(x):
        calls.append(len(x))
        return x[:, :1]

    def bottom(x, on):
        return on and np.isclose(x[1], 0)

    def top(x, on):
        return on and np.isclose(x[1], 1)

    square = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.Interface2DBC(square, target, bottom, top)
    data = scripts.laplace(square, [bc], train_distribution="uniform", num_boundary=160)
    assert sum(data.num_bcs) > 8 * FEW
    model = ddb.Model(data, scripts.network((2, 8, 2)))
    model.compile("adam", lr=1e-2, loss_weights="gw-mean", points_per_pass=FEW, verbose=0)
    model.train(iterations=2, verbose=0)
    model.train(iterations=3, callbacks=[ForgetTheCheck(calls)], verbose=0)
    assert model.points_per_pass == FEW
    assert sum(calls) == 0


def test_a_restored_run_is_the_unbroken_one(tmp_path, float64):
    def model():
        made = ddb.Model(scripts.klein_gordon(), scripts.network())
        made.compile(
            "adam", lr=1e-2, loss_weights="dn", point_weights="brdr", points_per_pass=FEW, verbose=0
        )
        return made

    whole, broken = model(), model()
    whole.train(iterations=8, verbose=0)
    broken.train(iterations=4, verbose=0)
    path = broken.save(str(tmp_path / "run"))
    again = model()
    again.restore(path)
    for m in (broken, again):
        m.train(iterations=4, verbose=0)
    assert torch.equal(scripts.parameters_of(broken), scripts.parameters_of(again))
    assert again.points_per_pass == FEW


def test_weights_kept_from_single_precision_train_a_network_in_double(float64):
    """A second phase in double precision, as for L-BFGS; DeepXDE trains with the same numbers."""
    dde.config.set_default_float("float32")
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="dn", verbose=0)
    model.train(iterations=3, verbose=0)
    kept = list(model.weights.values())
    dde.config.set_default_float("float64")
    stock = dde.Model(scripts.klein_gordon(), scripts.network())
    stock.net.load_state_dict(model.net.state_dict())
    stock.compile("adam", lr=1e-2, loss_weights=kept, verbose=0)
    stock.train(iterations=3, verbose=0)
    model.net.double()
    model.data = scripts.klein_gordon()
    model.compile("adam", lr=1e-2, loss_weights="keep", points_per_pass=FEW, verbose=0)
    model.train(iterations=3, verbose=0)
    assert model.points_per_pass == FEW
    assert list(model.weights.values()) == kept
    expected = scripts.parameters_of(stock)
    torch.testing.assert_close(scripts.parameters_of(model), expected, rtol=1e-9, atol=1e-12)
