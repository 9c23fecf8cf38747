"""What the compiled engine's checks must notice, and what is no fault."""

from functools import partial
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import features, scripts
from _support.engines import assert_same_parameters, trained, variables_of

import deepxde_balance as ddb
from deepxde_balance.gradients.compiled import engine as compiled
from deepxde_balance.gradients.compiled.comparison import Comparison


def compiled_model(data, net=None, weights="equal", engine="compiled", **kwargs):
    model = ddb.Model(data, net or scripts.network())
    defaults: dict[str, Any] = {"optimizer": "adam", "lr": 1e-2, "verbose": 0}
    model.compile(loss_weights=weights, gradient_engine=engine, **(defaults | kwargs))
    return model


class At(dde.callbacks.Callback):
    """Does something before an iteration."""

    def __init__(self, **actions):
        super().__init__()
        self.actions = {int(name[1:]): action for name, action in actions.items()}

    def on_batch_begin(self):
        self.actions.get(self.model.train_state.step, lambda model: None)(self.model)


@pytest.mark.parametrize(
    "kind, every, resampled, noticed",
    [
        ("a number", 5, False, 10),
        ("a number", 499, False, 12),
        ("a number", 499, True, 9),
        ("a tensor in its place", 5, False, 10),
        ("a tensor in its place", 499, False, 12),
    ],
)
def test_what_is_not_followed_is_an_error(
    kind, every, resampled, noticed, float64, compilations, monkeypatch
):
    """Noticed by the check every so often, when training ends, and when points are new."""
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", every)
    factor: list[Any] = [1.0] if kind == "a number" else [torch.tensor(1.0)]
    data = scripts.klein_gordon(pde=lambda x, u: factor[0] * scripts.klein_gordon_residual(x, u))
    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="db-std", gradient_engine="compiled", verbose=0)
    callback = At(
        _6=lambda model: factor.__setitem__(0, factor[0] * 1.01),
        _9=lambda model: resampled and model.data.resample_train_points(bc_points=False),
    )
    with pytest.raises(RuntimeError, match=f"After {noticed} evaluations, the compiled losses"):
        model.train(iterations=12, callbacks=[callback], verbose=0)


def times_klein_gordon(factor, x, u):
    return factor * scripts.klein_gordon_residual(x, u)


def test_a_tensor_that_changes_is_followed(float64, compilations, monkeypatch):
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", 5)
    models = []
    for engine in ("compiled", "per-group"):
        factor = torch.ones(())
        model = ddb.Model(
            scripts.klein_gordon(pde=partial(times_klein_gordon, factor)), scripts.network()
        )
        model.compile("adam", lr=1e-2, loss_weights="db-std", gradient_engine=engine, verbose=0)
        model.train(iterations=3, verbose=0)
        factor.mul_(3)
        model.train(iterations=3, verbose=0)
        models.append(model)
        assert model.gradient_engine == engine
    assert_same_parameters(*models)


@pytest.mark.parametrize("factor", [1 + 1e-6, float("nan")])
def test_a_wrong_compiler_is_noticed(factor, float64, monkeypatch):
    def wrong(traced):
        def function(*tensors):
            losses, values = traced.graph(*tensors)
            values[1] *= factor
            return losses, values

        return function

    monkeypatch.setattr(compiled, "compile_graph", wrong)
    weights = ddb.DB("std", update_every=1)  # so that both engines always take the gradients
    with pytest.warns(UserWarning, match="its results would not be those of the one-pass engine"):
        one = trained("dirichlet_ic_operator", weights, "compiled")
    assert_same_parameters(one, trained("dirichlet_ic_operator", weights, "one-pass"), 0)


def test_a_residual_that_is_not_defined_elsewhere(float64, compilations, monkeypatch):
    """The check moves the parameters, here to where the matrix has no Cholesky factor."""
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", 1)
    unknown = dde.Variable(0.5)

    def pde(x, u):
        one = torch.ones_like(unknown)
        matrix = torch.stack([torch.stack([one, unknown]), torch.stack([unknown, one])])
        return scripts.klein_gordon_residual(x, u) - torch.linalg.cholesky(matrix).sum()

    model = ddb.Model(scripts.klein_gordon(pde=pde), scripts.network())
    model.compile(
        "adam", lr=1e-9, loss_weights="db-std", external_trainable_variables=[unknown],
        gradient_engine="compiled", verbose=0,
    )  # fmt: skip
    model.train(iterations=1, verbose=0)
    with torch.no_grad():
        unknown.fill_(0.98)
    model.train(iterations=2, verbose=0)
    assert model.gradient_engine == "compiled"
    assert unknown.item() == pytest.approx(0.98, abs=1e-6)


def test_a_condition_met_by_construction(compilations, monkeypatch):
    """Its row is rounding at any parameters."""

    def rounding(traced):
        def function(*tensors):
            losses, values = traced.graph(*tensors)
            return losses, values + 1e-10

        return function

    monkeypatch.setattr(compiled, "compile_graph", rounding)
    net = scripts.network((3, 8, 1))
    net.apply_feature_transform(
        lambda x: torch.cat(
            [torch.sin(torch.pi * x[:, :1]), torch.cos(torch.pi * x[:, :1]), x[:, 1:]], dim=1
        )
    )
    strip = features.STRIP
    conditions = [
        dde.icbc.PeriodicBC(strip, 0, lambda _, on: on),
        dde.icbc.IC(strip, features.wave, lambda _, on: on),
    ]
    data = dde.data.TimePDE(strip, features.heat, conditions, 20, 10, 10)
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-3, loss_weights="equal", gradient_engine="compiled", verbose=0)
    model.train(iterations=2, verbose=0)
    assert model.losshistory.loss_train[-1][1] < 1e-12
    assert model.gradient_engine == "compiled"


def test_what_holds_on_the_first_points_only(float64, compilations, points_may_change_often):
    def pde(x, u):
        residual = scripts.klein_gordon_residual(x, u)
        return residual - residual.mean() if len(x) > 100 else residual

    models = []
    for engine in ("compiled", "per-group"):
        model = ddb.Model(scripts.klein_gordon(pde=pde), scripts.network())
        model.compile("adam", lr=1e-2, loss_weights="db-std", gradient_engine=engine, verbose=0)
        more = At(_4=lambda model: model.data.add_anchors(torch.rand(30, 2).numpy()))
        dde.config.set_random_seed(5)
        if engine == "compiled":
            with pytest.warns(UserWarning) as told:
                model.train(iterations=8, callbacks=[more], verbose=0)
            first, second = (str(w.message) for w in told)
            assert "The one-pass engine does not give DeepXDE's loss of pde" in first
            assert 'gradient_engine="compiled" can\'t be used here' in second
        else:
            model.train(iterations=8, callbacks=[more], verbose=0)
        models.append(model)
    assert models[0].gradient_engine == "per-group"
    assert_same_parameters(*models)


def test_rounding_of_losses_that_are_almost_0_is_no_difference(monkeypatch):
    """Boundary values that the network has already: their loss is nothing but rounding."""

    def rounding(traced):
        def function(*tensors):
            losses, values = traced.graph(*tensors)
            return losses + 1e-12, values + 1e-9

        return function

    monkeypatch.setattr(compiled, "compile_graph", rounding)
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", 1)
    net = scripts.network()

    def there(x):
        return net(torch.as_tensor(x, dtype=torch.float32)).detach().numpy()

    geometry = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.DirichletBC(geometry, there, lambda _, on: on)
    model = ddb.Model(scripts.laplace(geometry, [bc]), net)
    model.compile("adam", lr=1e-9, loss_weights="equal", gradient_engine="compiled", verbose=0)
    model.train(iterations=2, verbose=0)
    assert model.losshistory.loss_train[-1][1] < 1e-12
    assert model.gradient_engine == "compiled"


# What must be noticed, whatever comes between.


def with_more_points(model):
    model.data.add_anchors(np.random.default_rng(0).random((7, 2)))


def with_new_points(model):
    model.data.resample_train_points(bc_points=False)


def with_a_frozen_layer(model):
    model.net.linears[0].requires_grad_(False)


@pytest.mark.parametrize("then", [with_more_points, with_new_points, with_a_frozen_layer])
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_a_number_that_changed_before_something_else_did(
    kind, then, float64, compilations, points_may_change_often
):
    """A tensor that the residual makes of a number is new in each trace, and no other operation."""
    factor = [1.0]

    def pde(x, u):
        return kind(factor[0]) * scripts.klein_gordon_residual(x, u)

    model = compiled_model(scripts.klein_gordon(pde=pde))
    callback = At(_3=lambda model: factor.__setitem__(0, 2.0), _6=then)
    with pytest.raises(RuntimeError, match=r"After 6 evaluations.* by pde: a residual"):
        model.train(iterations=9, callbacks=[callback], verbose=0)
    model.train(iterations=3, verbose=0)  # traced anew
    assert model.gradient_engine == "compiled"


def test_a_number_that_changed_where_tracing_is_given_up(float64, compilations):
    factor = [1.0]
    data = scripts.klein_gordon(pde=lambda x, u: factor[0] * scripts.klein_gordon_residual(x, u))
    callback = At(_3=lambda model: factor.__setitem__(0, 2.0), _4=with_new_points)
    with pytest.raises(RuntimeError, match="After 4 evaluations"):
        compiled_model(data).train(iterations=9, callbacks=[callback], verbose=0)


def test_a_number_beside_a_residual_of_another_size(compilations, monkeypatch):
    """What is little beside the residual's loss is not so beside the condition's own."""
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", 5)
    value = [1.0]
    geometry = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.OperatorBC(geometry, lambda x, u, _: u - value[0], lambda _, on: on)
    data = scripts.laplace(geometry, [bc])
    data.pde = lambda x, u: 1e5 * scripts.laplace_residual(x, u)
    model = compiled_model(data, weights="gw-mean")
    callback = At(_6=lambda model: value.__setitem__(0, 1.1))
    with pytest.warns(UserWarning, match=r"after 10 evaluations, bc0 differs.*uncompiled"):
        model.train(iterations=12, callbacks=[callback], verbose=0)
    assert model.gradient_engine == "one-pass"


def test_a_number_where_other_parameters_give_nan(float64, compilations, monkeypatch):
    """The check moves the parameters to where the root is not defined; it looks here then."""
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", 5)
    factor = [1.0]
    net = scripts.network()
    with torch.no_grad():
        net.linears[-1].weight.zero_()
        net.linears[-1].bias.fill_(0.002)

    def pde(x, u):
        return scripts.laplace_residual(x, u) - factor[0] * torch.sqrt(u)

    data = scripts.laplace()
    data.pde = pde
    model = compiled_model(data, net, optimizer="sgd", lr=1e-9)
    callback = At(_6=lambda model: factor.__setitem__(0, -3.0))
    with pytest.raises(RuntimeError, match=r"After 10 evaluations.* by pde"):
        model.train(iterations=12, callbacks=[callback], verbose=0)


# What is no fault.


@pytest.mark.parametrize("optimizer", ["adam", "L-BFGS"])
def test_batches_that_are_new_after_the_last_iteration(
    optimizer, float64, optimizer_options, compilations, points_may_change_often
):
    """A batch of observations is resampled by a callback; the iterations before saw the old."""
    optimizer_options.lbfgs.update(maxiter=12, iter_per_step=2)
    kwargs = {} if optimizer == "adam" else {"optimizer": "L-BFGS", "lr": None}
    one, per = (
        trained("batches_of_data", ddb.GW("std"), e, 9 if not kwargs else None, **kwargs)
        for e in ("compiled", "per-group")
    )
    assert_same_parameters(one, per, 1e-8)


def plus_klein_gordon(factor, x, u):
    return scripts.klein_gordon_residual(x, u) + factor[0] * u


def test_a_number_that_changes_between_two_trainings(float64, compilations):
    """Continuation: the next training is traced anew."""
    models = []
    for engine in ("compiled", "per-group"):
        factor = [0.0]
        data = scripts.klein_gordon(pde=partial(plus_klein_gordon, factor))
        model = compiled_model(data, weights="db-std", engine=engine)
        for factor[0] in (1.0, 5.0):
            model.train(iterations=4, verbose=0)
        assert model.gradient_engine == engine
        models.append(model)
    assert_same_parameters(*models)
    assert len(compilations) == 2


def test_a_number_that_the_last_callback_changes(float64, compilations):
    class Then(dde.callbacks.Callback):
        def on_epoch_end(self):
            if self.model.train_state.step == 4:
                factor[0] = 5.0

    factor = [1.0]
    data = scripts.klein_gordon(pde=lambda x, u: factor[0] * scripts.klein_gordon_residual(x, u))
    model = compiled_model(data)
    model.train(iterations=4, callbacks=[Then()], verbose=0)
    assert model.gradient_engine == "compiled"


def test_losses_of_rounding_beside_a_large_offset(monkeypatch):
    """A temperature in kelvin, periodic by construction: its loss is the last place of 300."""

    def rounding(traced):
        def function(*tensors):
            return traced.graph(*(t * (1 - 2.4e-7) for t in tensors[:6]), *tensors[6:])

        return function

    monkeypatch.setattr(compiled, "compile_graph", rounding)
    monkeypatch.setattr(compiled, "_EVALUATIONS_BETWEEN_CHECKS", 1)
    time = dde.geometry.TimeDomain(0, 1)
    geometry = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 2 * np.pi), time)
    conditions = [
        dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on),
        dde.icbc.IC(geometry, lambda x: 300 + 5 * np.sin(x[:, :1]), lambda _, on: on),
    ]
    net = scripts.network((2, 8, 8, 1))
    net.apply_feature_transform(lambda x: torch.cat([torch.sin(x[:, :1]), x[:, 1:]], 1))
    net.apply_output_transform(lambda x, u: 300 + 5 * u)
    data = dde.data.TimePDE(geometry, features.heat, conditions, 50, 20, 20)
    model = compiled_model(data, net, lr=5e-3, loss="MAE")
    model.train(iterations=200, display_every=200, verbose=0)  # no error, no warning
    assert model.gradient_engine == "compiled"
    first, last = model.losshistory.loss_train
    assert last[1] < 1e-4 and last[2] < first[2] / 5


def test_an_unknown_of_another_type(compilations):
    """Made from NumPy's float64, while DeepXDE is at float32."""
    models = []
    for engine in ("compiled", "one-pass", "per-group"):
        for weights in ("equal", "db-std"):
            unknown = torch.tensor(np.array([0.5]), requires_grad=True)
            data = scripts.klein_gordon(pde=partial(plus_klein_gordon, unknown))
            kwargs = {"external_trainable_variables": unknown}
            model = compiled_model(data, weights=weights, engine=engine, **kwargs)
            model.train(iterations=4, verbose=0)
            assert (model.gradient_engine, unknown.dtype) == (engine, torch.float64)
            models.append((weights, torch.cat([v.flatten() for v in variables_of(model)])))
    for weights, found in models:
        expected = next(e for w, e in models if w == weights)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_conditions_alone_and_an_unknown(float64, compilations):
    models = []
    for engine in ("compiled", "one-pass", "per-group"):
        unknown = dde.Variable(0.5)
        points = np.random.default_rng(1).random((20, 2))
        conditions = [
            dde.icbc.PointSetBC(points, features.wave(points)),
            dde.icbc.OperatorBC(
                features.SQUARE, lambda x, u, _, c=unknown: u * c - 1, lambda _, on: on
            ),
        ]
        data = dde.data.PDE(features.SQUARE, None, conditions, 30, 20)
        kwargs = {"external_trainable_variables": unknown}
        models.append(compiled_model(data, engine=engine, **kwargs))
        models[-1].train(iterations=4, verbose=0)
    assert models[0].gradient_engine == "compiled"
    assert_same_parameters(models[0], models[2])
    assert_same_parameters(models[1], models[2])


@pytest.mark.parametrize("engine", ["compiled", "one-pass"])
def test_other_auxiliary_variables_at_the_same_points(engine, float64, compilations):
    models = []
    for name in (engine, "per-group"):
        model = trained("auxiliary_variables", "equal", name, 3)
        model.data.train_aux_vars = model.data.train_aux_vars * 5
        model.train(iterations=3, verbose=0)
        assert model.gradient_engine == name
        models.append(model)
    assert_same_parameters(*models)


def test_the_compilers_own_line_is_told(float64, monkeypatch):
    def fail(traced):
        raise RuntimeError("C++ compile error\n\nCommand:\ng++\nx.h:1: fatal error: no Python.h\n")

    monkeypatch.setattr(compiled, "compile_graph", fail)
    with pytest.warns(UserWarning, match=r"\(C\+\+ compile error; x.h:1: fatal error: no Python.h"):
        trained("dirichlet_ic_operator", "db-std", "compiled")


# The comparison itself.


def comparison(distance, size, rounding, kinds=None):
    distance, size, rounding = (
        torch.tensor(v, dtype=torch.float64) for v in (distance, size, rounding)
    )
    return Comparison(distance, size, rounding, epsilon=1e-16, kinds=kinds or (len(distance),))


def test_more_than_rounding():
    # Allowed: 1e-8 of the size, or 30 times what the last places of the parameters change.
    found = comparison([0.9e-8, 1.1e-8, 29.0, 31.0], [1.0] * 4, [0.0, 0.0, 1.0, 1.0])
    nothing = comparison([0.0] * 4, [1.0] * 4, [0.0] * 4)
    assert found.differs(nothing).tolist() == [False, True, False, True]
    # Or 30 times what was there when there was nothing else than rounding.
    known = comparison([0.0, 0.04e-9, 0.0, 0.04], [1.0] * 4, [0.0] * 4)
    assert found.differs(known).tolist() == [False, False, False, False]
    known = comparison([0.0, 0.03e-9, 0.0, 0.03], [1.0] * 4, [0.0] * 4)
    assert found.differs(known).tolist() == [False, True, False, True]


def test_what_is_small_beside_the_largest_of_its_kind():
    small = comparison([1e-13, 1e-13], [1e-12, 1e6], [0.0, 0.0])
    nothing = comparison([0.0, 0.0], [1.0, 1.0], [0.0, 0.0])
    assert small.differs().tolist() == [False, False]
    assert small.differs(nothing).tolist() == [True, False]
    assert small.differs_plainly(nothing).tolist() == [False, False]
    apart = comparison([1e-13, 1e-13], [1e-12, 1e6], [0.0, 0.0], kinds=(1, 1))
    assert apart.differs_plainly(nothing).tolist() == [True, False]


def test_what_is_not_finite_is_compared_with_another():
    nan, inf = float("nan"), float("inf")
    here = comparison([nan, 0.0, 1.0], [inf, 1.0, nan], [0.0, 0.0, 0.0])
    assert here.differs().tolist() == [False, False, False]
    other = comparison([2.0, 2.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    assert here.or_else(other).differs().tolist() == [True, False, False]
    lost = comparison([nan], [1.0], [0.0])
    assert lost.differs().tolist() == [True]
