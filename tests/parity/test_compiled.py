"""The compiled engine against one backward per group on DeepXDE's own losses, for each feature;
and what it must refuse.
"""

from typing import Any

import deepxde as dde
import pytest
import torch
from _support import scripts
from _support.engines import (
    assert_same_gradients,
    assert_same_parameters,
    build,
    past_the_attributes,
    trained,
    variables_of,
    weighting_for,
    with_batch_norm,
)
from _support.features import FEATURES, FORWARD

import deepxde_balance as ddb
from deepxde_balance.gradients.compiled import engine as compiled

pytestmark = pytest.mark.usefixtures("large_problem")

#: Their points are new every few iterations.
NEW_POINTS = ("batches_of_data", "resampled_residual_points", "refined_residual_points")


def assert_same_as_per_group(feature, weights, **kwargs):
    one, per = (trained(feature, weights, e, **kwargs) for e in ("compiled", "per-group"))
    assert one.gradient_engine == "compiled"
    assert_same_parameters(one, per)
    assert one.weights == pytest.approx(per.weights, rel=1e-8)
    return one, per


@pytest.mark.parametrize("feature", [f for f in FEATURES if f not in NEW_POINTS])
def test_equal_to_one_backward_per_group(feature, float64, compilations):
    """Weights are updated every third iteration: both kinds of iteration are compared."""
    one, per = assert_same_as_per_group(feature, weighting_for(feature))
    if feature == "dirichlet_ic_operator":
        assert_same_gradients(one, per)
    assert len(compilations) == 1


@pytest.mark.parametrize("feature", NEW_POINTS)
def test_new_points_are_traced_and_not_compiled_again(
    feature, float64, compilations, points_may_change_often
):
    assert_same_as_per_group(feature, weighting_for(feature), iterations=10)
    assert len(compilations) == (2 if feature == "refined_residual_points" else 1)  # more of them


@pytest.mark.skipif(torch.__version__ < "2.4", reason="PyTorch 2.3 traces other derivatives")
@pytest.mark.parametrize("feature", FORWARD)
def test_forward_autodiff(feature, float64, forward_autodiff, compilations):
    assert_same_as_per_group(feature, weighting_for(feature))


@pytest.mark.parametrize("weights", ["equal", "uw", "relobralo", "ntk-exact", "gradnorm", "dn"])
def test_every_kind_of_strategy(weights, float64, compilations):
    assert_same_as_per_group("dirichlet_ic_operator", weights)


def test_numbers(float64, compilations):
    kwargs: dict[str, Any] = {"loss_weights": [1.0, 10.0, 0.0, 5.0], "verbose": 0}
    models = []
    for engine in ("compiled", "per-group"):
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, gradient_engine=engine, **kwargs)
        model.train(iterations=5, verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(*models)


def test_lbfgs(float64, optimizer_options, compilations):
    optimizer_options.lbfgs.update(maxiter=6, iter_per_step=3)
    one, per = (
        trained("inverse_problem", ddb.GW("std"), engine, None, optimizer="L-BFGS", lr=None)
        for engine in ("compiled", "per-group")
    )
    assert one.gradient_engine == "compiled"
    assert_same_parameters(one, per, 1e-8)


def test_layers_frozen_in_between(float64, compilations):
    models = []
    for engine in ("compiled", "per-group"):
        model = trained("dirichlet_ic_operator", ddb.GW("std"), engine, 3)
        model.net.linears[1].requires_grad_(False)
        model.train(iterations=3, verbose=0)
        models.append(model)
    assert_same_parameters(*models)
    assert len(compilations) == 2


def test_a_restored_run_is_the_unbroken_one(float64, compilations, tmp_path):
    unbroken = trained("inverse_problem", "db-std", "compiled", 8)
    broken = trained("inverse_problem", "db-std", "compiled", 5)
    path = broken.save(str(tmp_path / "model"))
    model, _ = build("inverse_problem", loss_weights="db-std", gradient_engine="compiled")
    model.restore(path)
    model.train(iterations=3, display_every=4, verbose=0)
    assert model.gradient_engine == "compiled"
    assert torch.equal(variables_of(model), variables_of(unbroken))


@pytest.mark.parametrize(
    "dtype, tolerance",
    [("float32", 1e-4), pytest.param("float64", 1e-10, marks=pytest.mark.slow)],
)
def test_compiled_for_real(dtype, tolerance, request):
    if dtype == "float64":
        request.getfixturevalue("float64")
    models = []
    for engine in ("compiled", "per-group"):
        model = ddb.Model(scripts.klein_gordon(), scripts.network((2, 6, 1)))
        weights = ddb.GW("std", update_every=3)
        arguments: dict[str, Any] = {"loss_weights": weights, "gradient_engine": engine}
        causal = ddb.Causal([1e-4, 1e-3], chunks=3)
        given: dict[str, Any] = {"pde": causal, "bc0": "brdr:beta_w=0.5", "ic1": "rba"}
        model.compile("adam", lr=1e-2, point_weights=given, verbose=0, **arguments)
        model.train(iterations=7, verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(models[0], models[1], tolerance)


# Point weights, whose formulas are compared in test_point_weights.py.


@pytest.mark.parametrize("given", ["rba", "brdr", "sa", "causal:tolerance=0.01,chunks=3"])
@pytest.mark.parametrize("weights", ["uw", "auto", "db-std"])
def test_point_weights(weights, given, float64, compilations):
    arguments: dict[str, Any] = {"loss_weights": weights, "point_weights": {"pde": given}}
    if given != "sa":
        arguments["point_weights"]["bc0"] = "brdr:beta_w=0.5"
    models = []
    for engine in ("compiled", "per-group"):
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-2, gradient_engine=engine, verbose=0, **arguments)
        torch.manual_seed(1)
        model.train(iterations=8, verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(*models)
    for name, of_term in models[0].point_weights.items():
        assert of_term == pytest.approx(models[1].point_weights[name], rel=1e-7)
    assert len(compilations) == 1


def test_the_strategy_sa(float64, compilations):
    models = []
    for engine in ("compiled", "per-group"):
        torch.manual_seed(1)
        models.append(trained("dirichlet_ic_operator", "sa", engine))
        assert models[-1].gradient_engine == engine
    assert_same_parameters(*models)


@pytest.mark.filterwarnings("ignore:The point weights of RBA grow from 0")
def test_point_weights_change_once_in_a_step_of_lbfgs(float64, optimizer_options, compilations):
    optimizer_options.lbfgs.update(maxiter=6, iter_per_step=3)
    models = []
    for engine in ("compiled", "per-group"):
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        given = {"pde": "rba", "bc0": "brdr:beta_w=0.5"}
        arguments: dict[str, Any] = {"point_weights": given, "gradient_engine": engine}
        model.compile("L-BFGS", verbose=0, **arguments)
        model.train(verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(models[0], models[1], 1e-8)


def test_point_weights_follow_new_points(float64, compilations, points_may_change_often):
    models = []
    for engine in ("compiled", "per-group"):
        dde.config.set_random_seed(0)
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        given = {"pde": "rba:gamma=0.9", "bc0": "brdr:beta_w=0.5"}
        arguments: dict[str, Any] = {"point_weights": given, "gradient_engine": engine}
        model.compile("adam", lr=1e-2, verbose=0, **arguments)
        resampler = dde.callbacks.PDEPointResampler(period=4)
        model.train(iterations=10, callbacks=[resampler], verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(*models)
    assert len(compilations) == 1


def test_a_restored_run_with_point_weights_is_the_unbroken_one(float64, compilations, tmp_path):
    def compiled_model():
        dde.config.set_random_seed(0)
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        given = {"pde": ddb.Causal([1e-4, 1e-3], chunks=3), "bc0": "sa"}
        arguments: dict[str, Any] = {"gradient_engine": "compiled", "point_weights": given}
        model.compile("adam", lr=1e-2, loss_weights="uw", verbose=0, **arguments)
        return model

    unbroken, broken = compiled_model(), compiled_model()
    for model in (unbroken, broken):
        torch.manual_seed(1)
        model.train(iterations=5, display_every=5, verbose=0)
    restored = compiled_model()
    restored.restore(broken.save(str(tmp_path / "model")))
    for model in (unbroken, restored):
        model.train(iterations=4, display_every=5, verbose=0)
        assert model.gradient_engine == "compiled"
    assert torch.equal(variables_of(restored), variables_of(unbroken))


@pytest.mark.parametrize("given", ["brdr", "sa", "causal:tolerance=0.001"])
def test_point_weights_start_afresh_after_a_checkpoint_of_deepxde(
    given, float64, compilations, tmp_path
):
    stock = dde.Model(scripts.klein_gordon(), scripts.network())
    stock.compile("adam", lr=1e-2, verbose=0)
    stock.train(iterations=1, verbose=0)
    path = stock.save(str(tmp_path / "stock"))
    models = []
    for engine in ("compiled", "per-group"):
        dde.config.set_random_seed(0)
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        arguments: dict[str, Any] = {"point_weights": given, "gradient_engine": engine}
        model.compile("adam", lr=1e-2, loss_weights="db-mean", verbose=0, **arguments)
        model.train(iterations=4, verbose=0)
        with pytest.warns(UserWarning, match="they start afresh"):
            model.restore(path)
        torch.manual_seed(1)
        model.train(iterations=4, verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(*models)
    assert len(compilations) == 1


class Growing(ddb.PointWeighting):
    """A rule of one's own, whose weights grow by 1 in each update."""

    def fresh(self, term, points):
        return {"w": torch.ones_like(points[:, 0])}

    def weights_of(self, state):
        return state["w"]


class CountsInPlace(Growing):
    def update(self, errors):
        for term in errors:
            self.state(term)["w"].add_(1)


class CountsInPython(Growing):
    def __init__(self):
        super().__init__()
        self._count = 1

    def update(self, errors):
        self._count += 1
        for term in errors:
            self.set_state(term, {"w": torch.full_like(self.state(term)["w"], self._count)})


def test_rules_of_ones_own(float64, compilations, recwarn):
    models = []
    for rule, engine in (
        (CountsInPlace(), "compiled"),
        (CountsInPython(), "compiled"),
        (CountsInPython(), "per-group"),
    ):
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        given: dict[str, Any] = {"point_weights": rule, "gradient_engine": engine}
        model.compile("adam", lr=1e-2, loss_weights="db-mean", verbose=0, **given)
        model.train(iterations=6, verbose=0)
        assert (model.point_weights["pde"] == 7).all()
        models.append(model)
    assert [m.gradient_engine for m in models] == ["compiled", "one-pass", "per-group"]
    told = [str(w.message) for w in recwarn if "uncompiled" in str(w.message)]
    assert len(told) == 1 and "CountsInPython._count changes in an update" in told[0]
    for model in models[1:]:
        assert_same_parameters(models[0], model)


# What a trace can't hold.


def with_item(data):
    """An unknown that is made a number, and so is no part of the graph."""
    unknown = dde.Variable(0.7)
    data.pde = lambda x, u: scripts.klein_gordon_residual(x, u) + unknown.item() * u + unknown
    return [unknown]


def with_a_branch(data):
    def pde(x, u):
        residual = scripts.klein_gordon_residual(x, u)
        return residual if u.sum() > 1e9 else 2 * residual

    data.pde = pde
    return []


@pytest.mark.parametrize("make", [with_item, with_a_branch])
def test_values_made_numbers_hand_over_with_one_warning(make, float64, compilations):
    models = []
    for engine in ("compiled", "one-pass"):
        data = scripts.klein_gordon()
        unknowns = make(data)
        model = ddb.Model(data, scripts.network())
        model.compile(
            "adam", lr=1e-2, loss_weights="db-std", external_trainable_variables=unknowns,
            gradient_engine=engine, verbose=0,
        )  # fmt: skip
        if engine == "compiled":
            with pytest.warns(UserWarning, match="uncompiled") as told:
                model.train(iterations=4, verbose=0)
            assert len(told) == 1
        else:
            model.train(iterations=4, verbose=0)
        assert model.gradient_engine == "one-pass"
        models.append(model)
    assert_same_parameters(*models)


def test_no_compiler_on_the_machine(float64, monkeypatch):
    def fail(traced):
        raise RuntimeError("no working C++ compiler found\nlong story")

    monkeypatch.setattr(compiled, "compile_graph", fail)
    weights = ddb.DB("std", update_every=1)  # so that both engines always take the gradients
    with pytest.warns(UserWarning, match=r"\(no working C\+\+ compiler found\): from now on"):
        one = trained("dirichlet_ic_operator", weights, "compiled")
    assert one.gradient_engine == "one-pass"
    assert_same_parameters(one, trained("dirichlet_ic_operator", weights, "one-pass"), 0)


def test_where_one_pass_does_not_hold(float64, compilations):
    model = ddb.Model(*past_the_attributes())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", gradient_engine="compiled", verbose=0)
    with pytest.warns(UserWarning) as told:
        model.train(iterations=2, verbose=0)
    assert model.gradient_engine == "per-group"
    assert any("it needs the one-pass engine" in str(w.message) for w in told)
    assert not compilations


def test_refused_at_compile():
    model = ddb.Model(*with_batch_norm())
    with pytest.raises(ValueError, match="'compiled' can't be used here: BatchNorm1d"):
        model.compile("adam", loss_weights="gw-std", gradient_engine="compiled", verbose=0)
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(ValueError, match="'compiled' can't be used here: NNCG"):
        model.compile("NNCG", loss_weights="equal", gradient_engine="compiled", verbose=0)


def test_refused_in_mixed_precision(mixed_precision):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(ValueError, match="mixed precision"):
        model.compile("adam", loss_weights="equal", gradient_engine="compiled", verbose=0)


def test_the_monitor_reads_the_same(float64, compilations):
    tables = []
    for engine in ("compiled", "per-group"):
        model, _ = build("dirichlet_ic_operator", loss_weights="db-std", gradient_engine=engine)
        monitor = ddb.GradientMonitor(period=2)
        model.train(iterations=5, callbacks=[monitor], verbose=0)
        assert model.gradient_engine == engine
        tables.append(monitor)
    assert tables[0].steps == tables[1].steps
    for group, norms in tables[0].gradient_norms.items():
        assert norms == pytest.approx(tables[1].gradient_norms[group], rel=1e-9)
