"""Point weights beside a strategy: which terms, which points, phases, checkpoints, bad input."""

import copy
import warnings

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import resumed
from _support.resumed import (
    assert_same,
    broken_and_unbroken,
    everything,
    pseudo_random,
    strategy,
)
from _support.scripts import klein_gordon, laplace, network, parameters_of
from torch.utils._python_dispatch import TorchDispatchMode

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance.callbacks.progress import _last_record
from deepxde_balance.diagnostics.gradient_log import GradientLog
from deepxde_balance.training.point_weights import with_nearest

pytestmark = pytest.mark.usefixtures("large_problem")

IC = {"bc": [0], "ic": [1, 2]}


def compiled(point_weights, data=None, loss_weights=None, verbose=0, **arguments):
    model = ddb.Model(klein_gordon() if data is None else data, network())
    model.compile(
        "adam",
        lr=1e-2,
        loss_weights=loss_weights,
        point_weights=point_weights,
        verbose=verbose,
        **arguments,
    )
    return model


def exchanged(data):
    """The first 30 residual points make room for ten new ones, and five come back at the end."""
    old = data.train_x_all.copy()
    fresh = np.random.default_rng(0).random((10, 2)).astype(old.dtype)
    data.replace_with_anchors(np.vstack([old[30:], fresh, old[:5]]))
    return old, fresh


@pytest.mark.parametrize("inherit", [None, "nearest"])
def test_kept_points_keep_their_state(inherit, float64):
    data = klein_gordon()
    model = compiled(ddb.RBA(eta=0.1, gamma=0.5, inherit=inherit), data)
    model.train(iterations=4, verbose=0)
    before = np.sqrt(model.point_weights["pde"])
    old, fresh = exchanged(data)
    points = torch.tensor(data.train_x_all)
    rule, seen = model._run.step.points.rules[0], []
    update = rule.update

    def recorded(errors):
        seen.append((rule.state(0)["inner"].clone().numpy(), np.abs(errors[0].numpy().ravel())))
        update(errors)

    rule.update = recorded
    model.train(iterations=1, verbose=0)
    ((inner, size),) = seen
    kept = len(old) - 30
    assert len(points) == len(inner) == kept + 15
    np.testing.assert_array_equal(inner[:kept], before[30:])
    np.testing.assert_array_equal(inner[kept + 10 :], before[:5])
    if inherit is None:
        assert (inner[kept : kept + 10] == 0).all()
    else:
        nearest = [np.square(old - x).sum(axis=1).argmin() for x in fresh]
        np.testing.assert_array_equal(inner[kept : kept + 10], before[nearest])
    after = 0.5 * inner + 0.1 * size / size.max()
    np.testing.assert_allclose(model.point_weights["pde"], after**2, rtol=1e-12)


def test_a_new_point_has_a_bias_correction_of_its_own(float64):
    """With beta_w = 0 a weight is d / mean(d), and d is 1 at a point's first update."""
    data = klein_gordon()
    model = compiled({"pde": ddb.BRDR(beta_c=0.9, beta_w=0.0)}, data)
    model.train(iterations=10, verbose=0)
    exchanged(data)
    model.train(iterations=1, verbose=0)
    weights = model.point_weights["pde"]
    fresh = weights[-15:-5]
    np.testing.assert_allclose(fresh, fresh[0], rtol=1e-10)
    assert np.unique(weights[:10]).size == 10
    assert weights.mean() == pytest.approx(1)


def test_with_nearest():
    before, now = np.array([[0.0], [1.0], [5.0]]), np.array([[4.0], [1.0], [0.4]])
    assert with_nearest(np.array([-1, 1, -1]), before, now).tolist() == [2, 1, 0]
    assert with_nearest(np.array([2, 1, 0]), before, now).tolist() == [2, 1, 0]


def test_causal_divides_the_new_points(float64):
    data = klein_gordon()
    model = compiled(ddb.Causal(tolerance=1e-3, chunks=4), data)
    model.train(iterations=2, verbose=0)
    exchanged(data)
    model.train(iterations=1, verbose=0)
    times, weights = data.train_x_all[:, 1], model.point_weights["pde"]
    assert (np.diff(weights[np.argsort(times, kind="stable")]) <= 0).all()
    assert 1 < np.unique(weights).size <= 4
    causal = model._run.step.points.rules[0]
    assert causal.progress == weights.min() < 1


def in_batches(point_weights, **arguments):
    """A condition at 12 points, 5 of them in each iteration."""
    dde.config.set_random_seed(3)
    points = np.linspace(0, 1, 24).reshape(12, 2).astype(dde.config.real(np))
    bc = dde.icbc.PointSetBC(points, points[:, :1] ** 2, batch_size=5)
    data = laplace(dde.geometry.Rectangle([0, 0], [1, 1]), [bc])
    model = compiled(point_weights, data, **arguments)
    return model, bc


@pytest.mark.parametrize("way", ["one-pass", "per-group"])
@pytest.mark.parametrize(
    "given", [{"data0": ddb.RBA(gamma=0.9, eta=0.1)}, {"data0": "sa"}, {"data0": np.arange(12)}]
)
def test_points_outside_a_mini_batch_keep_their_state(given, way, float64):
    model, bc = in_batches(given, gradient_engine=way)
    resampler = dde.callbacks.PDEPointResampler(period=1, pde_points=False, bc_points=True)
    weights = np.full(12, np.nan)
    changes = 0
    seen: list[int] = []
    model.train(iterations=1, verbose=0)  # the point weights are there
    points = model._run.step.points
    losses = points

    def recorded(errors):
        """Before an iteration's update, the chosen points have the weights they had last."""
        at = np.asarray(bc.batch_indices)
        present = points.rules[points_term].weights(points_term).numpy().copy()
        known = ~np.isnan(weights[at])
        np.testing.assert_array_equal(present[known], weights[at][known])
        seen.append(known.sum())
        return losses(errors)

    points_term = 1
    weights[np.asarray(bc.batch_indices)] = model.point_weights["data0"]
    model._run.step._measure = recorded
    for _ in range(12):
        model.train(iterations=1, callbacks=[resampler], verbose=0)
        at = np.asarray(points._chosen[points_term])
        now = model.point_weights["data0"]
        changes += int(not np.array_equal(weights[at], now))
        weights[at] = now
    assert not np.isnan(weights).any()
    assert len(seen) == 12
    if isinstance(given["data0"], np.ndarray):
        np.testing.assert_array_equal(weights, np.arange(12))
    else:
        assert changes > 0


def test_periodic_conditions_have_one_weight_for_two_points():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    bc = dde.icbc.PeriodicBC(geom, 0, lambda x, on: on and np.isclose(x[0] * (1 - x[0]), 0))
    data = laplace(geom, [bc])
    model = compiled("brdr", data)
    for _ in range(2):
        model.train(iterations=2, verbose=0)
        assert len(model.point_weights["bc0"]) == data.num_bcs[0] // 2
        data.resample_train_points(bc_points=True)


def test_which_terms_are_weighed():
    def names(given, **arguments):
        model = compiled(given, **arguments)
        model.train(iterations=1, verbose=0)
        assert model.gradient_engine == "one-pass"
        return list(model.point_weights)

    bc, ic = "bc0", "ic1"
    last = names("brdr")[-1]
    assert names("rba") == names("causal") == ["pde"]
    assert names("brdr") == names("sa") == ["pde", bc, ic, last]
    assert names(lambda x: x[:, 0]) == ["pde", bc, ic, last]
    assert names({"ic": "rba"}, loss_groups=IC) == [ic, last]
    assert names({ic: "rba"}, loss_groups=IC) == [ic]
    unweighted = {"ic": [1, 2], "unweighted": [0]}
    assert names("brdr", loss_groups=unweighted, loss_weights="gw-mean") == ["pde", ic, last]


def test_the_same_word_for_several_groups_is_one_weighting(float64):
    """BRDR's mean is over the terms of one point weighting."""
    of_words = compiled({"pde": "brdr:beta_w=0", "bc0": "brdr:beta_w=0"})
    one = ddb.BRDR(beta_w=0)
    of_object = compiled({"pde": one, "bc0": one})
    of_two = compiled({"pde": ddb.BRDR(beta_w=0), "bc0": ddb.BRDR(beta_w=0)})
    means = []
    for model in (of_words, of_object, of_two):
        model.train(iterations=3, verbose=0)
        weights = model.point_weights
        means.append([np.concatenate([*weights.values()]).mean(), weights["bc0"].mean()])
    for mean in means:
        assert mean[0] == pytest.approx(1)
    assert means[0] == means[1]
    assert means[0][1] != pytest.approx(1, abs=1e-6)
    assert means[2][1] == pytest.approx(1)


def test_a_given_object_does_not_change():
    rule = ddb.RBA()
    compiled(rule).train(iterations=2, verbose=0)
    assert rule.number(0) is None


def test_with_a_list_of_numbers(float64):
    def factors(x):
        return 1 + x[:, 0]

    data, net = klein_gordon(), network()
    models = []
    for numbers, at_end in (([2, 3, 4, 5], False), ([1, 1, 1, 1], True)):
        dde.config.set_random_seed(0)
        model = ddb.Model(data, network())
        model.compile("adam", lr=1e-2, loss_weights=numbers, point_weights=factors, verbose=0)
        if at_end:
            model.loss_weights[:] = [2, 3, 4, 5]
        model.train(iterations=5, verbose=0)
        assert sorted(model.point_weights) == sorted(model.loss_terms)
        models.append(model)
    assert torch.equal(*map(parameters_of, models))
    model = ddb.Model(data, net)
    model.compile("adam", lr=1e-2, loss_weights=[2, 3, 4, 5], verbose=0)
    model.train(iterations=5, verbose=0)
    assert not torch.equal(parameters_of(model), parameters_of(models[0]))


def test_numbers_assigned_later_keep_the_point_weights():
    model = compiled("brdr:beta_w=0.5")
    model.train(iterations=3, verbose=0)
    before = model.point_weights
    model.loss_weights = [1, 2, 3, 4]
    assert model.weights == dict(zip(model.loss_terms, [1, 2, 3, 4], strict=True))
    assert_same(model.point_weights, before)
    model.train(iterations=1, verbose=0)
    assert list(model.point_weights) == list(before)


@pytest.mark.parametrize("given", ["rba", "brdr", "causal", "sa", {"pde": lambda x: x[:, 0]}])
@pytest.mark.parametrize("stock", [False, True])
def test_keep_freezes_them(given, stock):
    data, net = klein_gordon(), network()
    model = dde.Model(data, net) if stock else ddb.Model(data, net)

    def train(weights, points=None):
        if stock:
            model.compile("adam", lr=1e-2, verbose=0)
            callbacks = [ddb.LossWeighting(weights, point_weights=points)]
            model.train(iterations=6, callbacks=callbacks, verbose=0)
            step = callbacks[0]._step
        else:
            model.compile("adam", lr=1e-2, loss_weights=weights, point_weights=points, verbose=0)
            model.train(iterations=6, verbose=0)
            step = model._run.step
        return {name: w for name, (_, w) in step.points.present().items()}

    before = train("db-mean", given)
    assert before
    assert_same(train("keep"), before)
    assert_same(train("keep"), before)


def test_kept_weights_of_new_points_are_those_of_the_nearest(float64):
    data = klein_gordon()
    model = compiled(ddb.RBA(gamma=0.5, eta=0.5), data, "db-mean")
    model.train(iterations=4, verbose=0)
    before, old = model.point_weights["pde"], data.train_x_all.copy()
    model.compile("adam", lr=1e-2, loss_weights="keep", verbose=0)
    exchanged(data)
    model.train(iterations=3, verbose=0)
    nearest = [np.square(old - x).sum(axis=1).argmin() for x in data.train_x_all]
    np.testing.assert_array_equal(model.point_weights["pde"], before[nearest])


def test_lbfgs_updates_them_once_in_a_step(optimizer_options, monkeypatch):
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=10)
    model = ddb.Model(klein_gordon(), network())
    model.compile("L-BFGS", point_weights=ddb.RBA(eta=0.5, gamma=0.5), verbose=0)
    seen, updates = [], []
    loss, update = ddb.RBA.loss, ddb.RBA.update

    def recorded(self, term, errors):
        seen.append(self.weights(term).clone())
        return loss(self, term, errors)

    monkeypatch.setattr(ddb.RBA, "loss", recorded)
    monkeypatch.setattr(ddb.RBA, "update", lambda self, e: (updates.append(0), update(self, e)))
    model.train(verbose=0)
    assert len(updates) == 2
    assert len(seen) > 10
    distinct = {tuple(w.tolist()) for w in seen}
    assert len(distinct) == 2


def test_nncg_trains_with_them(optimizer_options):
    optimizer_options.nncg.update(rank=2, updatefreq=2)
    model = ddb.Model(klein_gordon(), network())
    model.compile(
        "NNCG",
        loss_weights=ddb.DB("mean", update_every=1),
        point_weights="brdr:beta_w=0.5",
        verbose=0,
    )
    model.train(iterations=3, verbose=0)
    assert model.point_weights["pde"].std() > 0
    assert np.isfinite(model.losshistory.loss_train[-1]).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("given", ["rba", "brdr", "causal:tolerance=ladder", "sa"])
def test_their_float_type_is_the_networks(given, precision, request):
    if precision == "float64":
        request.getfixturevalue("float64")
    model = compiled(given)
    model.train(iterations=3, verbose=0)
    assert model.point_weights["pde"].dtype == precision
    assert np.isfinite(model.point_weights["pde"]).all()


def test_under_mixed_precision(mixed_precision):
    model = compiled("brdr:beta_w=0.5", loss_weights="db-mean")
    model.train(iterations=3, verbose=0)
    assert np.isfinite(model.losshistory.loss_train[-1]).all()
    points = model.train_step.points
    points.begin(_batch(model))
    number = len(model.point_weights["pde"])
    large = torch.linspace(100, 200, number, dtype=torch.float16)  # its fourth power overflows
    before = points.rules[0].weights(0)
    losses = points({i: large[: rule.number(i)].unsqueeze(1) for i, rule in points.rules.items()})
    after = points.rules[0].weights(0)
    assert after.isfinite().all() and not torch.equal(after, before)
    assert losses[0] == pytest.approx(float((after * large.float() ** 2).mean()), rel=1e-5)


class Operations(TorchDispatchMode):
    """Lists the operations on tensors."""

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "given", ["rba", "brdr", "causal:tolerance=ladder", {"pde": lambda x: x[:, 0]}]
)
def test_no_iteration_waits_for_the_device(given, monkeypatch):
    """Neither a number nor an array is read from a tensor while points do not change."""
    model = compiled(given)
    model.train(iterations=2, verbose=0)
    points, batch = model.train_step.points, _batch(model)
    errors = {i: torch.rand(len(p), 1) for i, p in points._points.items()}
    monkeypatch.setattr(torch.Tensor, "numpy", None)
    before = model.train_step.points.rules[0].weights(0)
    with Operations() as operations:
        points.begin(batch)
        points(errors)
        points.after_step()
    assert not isinstance(given, str) or not torch.equal(points.rules[0].weights(0), before)
    reading = ("_local_scalar_dense", "nonzero", "_to_copy", "unique", "masked_select")
    assert operations.names
    assert not [name for name in operations.names if any(r in name for r in reading)]


def integro_differential():
    """u' + u + integral of exp(t - x) u from 0 to x, = 0, as in DeepXDE's example."""
    dde.config.set_random_seed(1)
    geom = dde.geometry.TimeDomain(0, 5)

    def ide(x, u, matrix):
        rhs = torch.as_tensor(matrix, dtype=u.dtype) @ u
        return (dde.grad.jacobian(u, x) + u)[: len(rhs)] - rhs[: len(u)]

    ic = dde.icbc.IC(geom, lambda x: 1, lambda _, on: on)
    return dde.data.IDE(
        geom, ide, ic, 6, kernel=lambda x, s: np.exp(s - x), num_domain=10, num_boundary=2
    )


@pytest.mark.parametrize("given", ["rba", "brdr", "causal", "sa", {"pde": lambda t: 1 + t[:, 0]}])
def test_an_integro_differential_problem(given):
    """Its batch has the points of the quadrature behind those of the residual."""
    data = integro_differential()
    model = ddb.Model(data, network((1, 8, 1)))
    model.compile("adam", lr=1e-3, loss_weights="gw-mean", point_weights=given, verbose=0)
    model.train(iterations=3, verbose=0)
    assert model.gradient_engine == "per-group"
    points, weights = model._run.step.points.present()["pde"]
    residual = data.train_x[sum(data.num_bcs) :]
    assert 0 < len(weights) == len(points) < len(residual)
    np.testing.assert_array_equal(points, residual[: len(points)])
    if isinstance(given, dict):
        np.testing.assert_allclose(weights, 1 + points[:, 0], rtol=1e-6)


def all_of(model):
    """What two equal runs have in common, the point weights too."""
    step = model._run.step
    return copy.deepcopy(everything(model) | {"point weights": step.points.state_dict()})


GIVEN = {
    "rba": "rba",
    "brdr": ddb.BRDR(beta_c=0.9, beta_w=0.9),
    "sa": "sa",
    "near": ddb.RBA(inherit="nearest"),
    "mixed": {"pde": "brdr:beta_w=0.5", "bc0": lambda x: 1 + x[:, 0]},
}


@pytest.mark.parametrize("weights", ["db-mean", "equal"])
@pytest.mark.parametrize("name", GIVEN)
def test_a_resumed_run_is_the_same_to_the_last_bit(name, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(resumed, "everything", all_of)
    loss_weights = strategy(weights) if weights == "db-mean" else None

    def make():
        return compiled(GIVEN[name], pseudo_random(), loss_weights, decay=("step", 7, 0.5))

    def callbacks():
        return [dde.callbacks.PDEPointResampler(period=5, bc_points=True)]

    assert_same(*broken_and_unbroken(make, callbacks, tmp_path))


@pytest.mark.parametrize("given", ["causal:tolerance=ladder,chunks=4", "sa", "brdr"])
def test_a_model_goes_back_to_its_checkpoint(given, tmp_path):
    model = compiled(given)
    model.train(iterations=6, verbose=0)
    path = model.save(str(tmp_path / "run"))
    model.train(iterations=9, verbose=0)
    expected = all_of(model)
    model.restore(path)
    model.train(iterations=9, verbose=0)
    assert_same(expected, all_of(model))


def test_a_resumed_run_of_mini_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(resumed, "everything", all_of)

    def make():
        return in_batches({"data0": ddb.RBA(gamma=0.9, eta=0.1), "pde": "sa"})[0]

    def callbacks():
        return [dde.callbacks.PDEPointResampler(period=3, bc_points=True)]

    assert_same(*broken_and_unbroken(make, callbacks, tmp_path))


def test_kept_weights_are_restored(tmp_path):
    def make(*phases):
        model = compiled("brdr:beta_w=0.5", loss_weights="db-mean")
        for phase in phases:
            model.train(iterations=3, verbose=0)
            model.compile("adam", lr=1e-3, loss_weights=phase, verbose=0)
        return model

    model = make("keep")
    model.train(iterations=3, verbose=0)
    path = model.save(str(tmp_path / "run"))
    other = ddb.Model(klein_gordon(), network())
    other.compile("adam", lr=1e-3, verbose=0)
    other.restore(path)
    assert_same(other.point_weights, model.point_weights)
    for one in (model, other):
        one.train(iterations=3, verbose=0)
    assert torch.equal(parameters_of(model), parameters_of(other))


def test_a_checkpoint_of_other_point_weights_is_refused(tmp_path):
    model = compiled("rba", loss_weights="db-mean")
    model.train(iterations=1, verbose=0)
    path = model.save(str(tmp_path / "run"))
    with pytest.raises(ddb.CheckpointError, match=r"point weights are RBA of pde, .* none"):
        compiled(None, loss_weights="db-mean").restore(path)
    with pytest.raises(ddb.CheckpointError, match=r"RBA of pde, the model's BRDR of pde\+bc0"):
        compiled("brdr", loss_weights="db-mean").restore(path)
    with pytest.warns(UserWarning, match=r"RBA.eta=0.01 there, 0.1 here"):
        compiled("rba:eta=0.1", loss_weights="db-mean").restore(path)


def test_given_weights_that_are_others_than_the_saved_ones_are_told(tmp_path):
    def other_function(x):
        return 3 + x[:, 0]

    array, function = np.arange(12.0), lambda x: 1 + x[:, 0]
    model = compiled({"bc0": array, "ic": function}, loss_weights="db-mean", loss_groups=IC)
    model.train(iterations=1, verbose=0)
    path = model.save(str(tmp_path / "run"))

    def restored(of_bc, of_ic):
        other = compiled({"bc0": of_bc, "ic": of_ic}, loss_weights="db-mean", loss_groups=IC)
        other.restore(path)
        assert_same(other.point_weights, model.point_weights)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored(array, function)
    with pytest.warns(UserWarning, match="weights of bc0 are not those given to compile: the"):
        restored(array[::-1], function)
    with pytest.warns(UserWarning, match=r"weights of ic1, \w+ are not those given to compile"):
        restored(array, other_function)


def test_brdr_of_a_checkpoint_of_format_4(float64, tmp_path):
    """It had the average of e^4 itself, of which there is now the root."""
    model = compiled("brdr:beta_w=0.5,beta_c=0.9")
    model.train(iterations=3, verbose=0)
    path = model.save(str(tmp_path / "run"))
    content = torch.load(path, weights_only=True)
    ours = content["deepxde_balance"]
    ours["format"] = 4
    del ours["run"]["conditions"]
    for state in ours["step"]["points"]["rules"][0]["points"].values():
        state["fourth"] = state.pop("root") ** 2
    torch.save(content, path)
    other = compiled("brdr:beta_w=0.5,beta_c=0.9")
    other.restore(path)
    for one in (model, other):
        one.train(iterations=3, verbose=0)
    torch.testing.assert_close(parameters_of(other), parameters_of(model), rtol=1e-12, atol=0)


def test_a_stock_checkpoint_lets_them_start_afresh(tmp_path):
    stock = dde.Model(klein_gordon(), network())
    stock.compile("adam", lr=1e-3, verbose=0)
    stock.train(iterations=1, verbose=0)
    path = stock.save(str(tmp_path / "run"))
    model = compiled("brdr")
    model.train(iterations=3, verbose=0)
    with pytest.warns(UserWarning, match="afresh"):
        model.restore(path)
    assert model.point_weights == {}
    model.train(iterations=1, verbose=0)
    assert len(model.point_weights["pde"]) == len(model.data.train_x_all)


def test_errors_that_are_zero_or_nan_leave_the_weights():
    data = klein_gordon(pde=lambda x, u: 0 * u)
    for given in ("rba", {"pde": "brdr"}):
        model = compiled(given, data)
        model.train(iterations=3, verbose=0)
        assert np.isfinite(model.point_weights["pde"]).all()
    for given in ("rba", "brdr", "causal"):
        model = compiled(given)
        model.train(iterations=2, verbose=0)
        before = model.point_weights
        pde = model.data.pde
        model.data.pde = lambda x, u, pde=pde: pde(x, u) * float("nan")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.train_step.points.begin(_batch(model))
            model.train_step.engine.losses(_batch(model), model.train_step.points)
        assert_same(model.point_weights, before)


def _batch(model):
    return Batch(*model.data.train_next_batch())


def stationary(given):
    return compiled(given, laplace())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: compiled("rbaa"), "Unknown point weighting 'rbaa'. Did you mean 'rba'"),
        (lambda: compiled({"pdee": "rba"}), "group in point_weights: 'pdee'. Did you mean 'pde'"),
        (lambda: compiled({}), "empty mapping"),
        (lambda: compiled({"bc0": "rba", "bc": "rba"}, loss_groups=IC), "term 'bc0' twice"),
        (
            lambda: compiled({"bc0": "rba"}, loss_groups={"ic": [1, 2], "unweighted": [0]}),
            "which is unweighted",
        ),
        (lambda: compiled({"pde": [1.0, 2.0]}), "pde has 2 numbers, but there are"),
        (lambda: compiled({"bc0": np.full(12, -1.0)}), "is -1.0 at point 0"),
        (lambda: compiled({"bc0": [*range(11), float("nan")]}), "is nan at point 11"),
        (lambda: compiled({"bc0": np.ones((12, 2))}), r"shape \(12, 2\)"),
        (lambda: compiled({"bc0": ["a"]}), "one number per point"),
        (lambda: compiled({"bc0": ["1"] * 12}), "one number per point"),
        (lambda: compiled({"bc0": np.full(12, 1j)}), "one number per point"),
        (lambda: compiled(lambda x: x[:, 0] - 1), "finite and not negative"),
        (lambda: compiled(lambda x: x[:5, 0]), "has 5 numbers, but there are"),
        (lambda: compiled(np.ones(5)), "is of one term, not of pde, bc0"),
        (lambda: compiled(3), r"shape \(\)"),
        (lambda: stationary("causal"), "no time coordinate"),
        (lambda: compiled({"bc0": "causal"}), "bc0 is a condition"),
        (lambda: compiled("rba", loss="MAE"), 'compile with loss="MSE"'),
        (lambda: compiled("rba", loss_weights="sa"), '"sa" has point weights of its own'),
        (lambda: compiled("rba", loss_weights="keep"), "leave point_weights out"),
        (lambda: ddb.LossWeighting("keep", point_weights="rba"), "leave point_weights out"),
        (
            lambda: compiled(
                "rba",
                dde.data.Function(dde.geometry.Interval(0, 1), np.sin, num_train=5, num_test=5),
            ),
            "errors at the points",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "given, message",
    [
        (ddb.RBA, "RBA is not allowed: it is a class"),
        (ddb.SA(), r"SA\(\.\.\.\) is not allowed: it is a strategy"),
        (["rba", "brdr"], r"\['rba', 'brdr'\] is not allowed: a term has one"),
        (["rba", ddb.BRDR()], "a term has one point weighting"),
    ],
)
def test_what_is_no_point_weighting(given, message):
    with pytest.raises(TypeError, match=message):
        compiled(given)
    with pytest.raises(TypeError, match=message):
        compiled({"pde": given})


@pytest.mark.parametrize("given", ["rba", "RBA:eta=0.1", ddb.RBA(), ddb.Causal()])
def test_a_point_weighting_is_no_strategy(given):
    error = ValueError if isinstance(given, str) else TypeError
    with pytest.raises(error, match="weighs points, not loss terms: give it as point_weights"):
        compiled(None, loss_weights=given)
    with pytest.raises(error, match="weighs points, not loss terms: give it as point_weights"):
        ddb.LossWeighting(given)


class Factors(ddb.PointWeighting):
    """Weights a term's points by its static factor."""

    def fresh(self, term, points):
        return {"w": torch.full_like(points[:, 0], self._terms[term].factor)}

    def weights_of(self, state):
        return state["w"]

    def update(self, errors):
        pass


def test_weights_that_start_afresh_know_the_static_factors(tmp_path):
    stock = dde.Model(klein_gordon(), network())
    stock.compile("adam", lr=1e-3, verbose=0)
    path = stock.save(str(tmp_path / "run"))
    model = compiled({"bc0": Factors()}, loss_weights=ddb.DB("mean", scale={"bc0": 7.0}))
    with pytest.warns(UserWarning, match="afresh"):
        model.restore(path)
    model.train(iterations=1, verbose=0)
    assert (model.point_weights["bc0"] == 7).all()


def test_a_parameter_that_a_rule_does_not_have():
    with pytest.raises(TypeError, match="'rba' has no parameter 'beta'"):
        compiled("rba:beta=1")


def test_an_array_is_refused_when_its_points_are_resampled():
    data = pseudo_random()
    number = len(data.train_x) - sum(data.num_bcs)
    model = compiled({"pde": np.ones(number)}, data)
    resampler = dde.callbacks.PDEPointResampler(period=2)
    with pytest.raises(ValueError, match=f"{number} of its {number} points are new"):
        model.train(iterations=4, callbacks=[resampler], verbose=0)


def test_an_array_follows_points_that_change_places():
    data = klein_gordon()
    number = len(data.train_x_all)
    model = compiled({"pde": np.arange(number)}, data)
    model.train(iterations=1, verbose=0)
    data.replace_with_anchors(data.train_x_all[::-1].copy())
    model.train(iterations=1, verbose=0)
    assert model.point_weights["pde"].tolist() == list(range(number))[::-1]


def test_the_monitor_records_them(tmp_path):
    path = tmp_path / "gradients.csv"
    monitor = ddb.GradientMonitor(2, csv=path)
    model = compiled({"pde": ddb.Causal(tolerance=0.01), "bc0": "brdr:beta_w=0.5"})
    model.train(iterations=4, callbacks=[monitor], verbose=0)
    for name, weights in model.point_weights.items():
        assert len(monitor.largest_point_weights[name]) == len(monitor.steps) == 3
        assert monitor.largest_point_weights[name][-1] == pytest.approx(weights.max())
        assert monitor.mean_point_weights[name][-1] == pytest.approx(weights.mean())
        assert monitor.smallest_point_weights[name][-1] == pytest.approx(weights.min())
    read = GradientLog.read(path)
    expected = monitor.largest_point_weights["bc0"]
    assert np.isnan(expected[0])  # observed before the first iteration
    assert read.largest_point_weights["bc0"] == pytest.approx(expected, nan_ok=True)
    assert list(read.mean_point_weights) == ["pde", "bc0"]


def test_the_progress_bar_shows_how_far_causal_training_is():
    model = compiled(ddb.Causal(tolerance=1e-3, chunks=4))
    model.train(iterations=2, verbose=0)
    shown = _last_record(model)
    assert float(shown["causal"]) == pytest.approx(model.point_weights["pde"].min(), rel=0.06)


def test_compile_says_what_is_weighed(capsys):
    compiled({"pde": "rba", "ic": "brdr"}, loss_groups=IC, verbose=1)
    said = capsys.readouterr().out
    assert "Point weights: RBA of pde; BRDR of ic1, " in said
    assert "Losses are shown without them." in said
    compiled("rba", verbose=0)
    assert not capsys.readouterr().out


def test_a_compile_without_them_warns():
    model = compiled("rba", loss_weights="db-mean")
    model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)  # nothing is lost yet
    model = compiled("rba")
    model.train(iterations=1, verbose=0)
    with pytest.warns(UserWarning, match="Compiled without point_weights"):
        model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
    assert model.point_weights == {}


def test_a_failed_compile_changes_nothing():
    model = compiled("rba", loss_weights="db-mean")
    model.train(iterations=2, verbose=0)
    before = model.point_weights
    with pytest.raises(ValueError, match="Unknown point weighting"):
        model.compile("adam", lr=1e-3, loss_weights="db-mean", point_weights="nothing", verbose=0)
    assert_same(model.point_weights, before)


class Drifting(ddb.PointWeighting):
    """Weights that are of a million, and grow."""

    drifts = True

    def fresh(self, term, points):
        return {"w": 1e6 * early(points)}

    def weights_of(self, state):
        return state["w"]

    def update(self, errors):
        for term in errors:
            self.set_state(term, {"w": 2 * self.state(term)["w"]})


def early(points):
    return 1 / (1 + points[:, 1])


def of_mean_one(points):
    return early(points) / early(points).mean()


@pytest.mark.parametrize("exact", [True, False])
def test_weights_that_drift_are_divided_by_their_mean_beside_auto(exact, float64):
    found = []
    for given in (Drifting(), of_mean_one):
        weighting = ddb.Auto(update_every=1, traces_every=1)
        weighting.exact = exact
        model = compiled({"pde": given}, loss_weights=weighting)
        torch.manual_seed(1)
        model.train(iterations=10, verbose=0)
        before = model.weights
        model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
        model.train(iterations=3, verbose=0)
        parameters = torch.cat([p.detach().reshape(-1) for p in model.net.parameters()])
        found.append((parameters, list(before.values()), model.point_weights["pde"]))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-11)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-8)
    assert found[0][2] == pytest.approx(found[1][2], rel=1e-12)  # kept as they were in the loss


def test_errors_of_zero_from_the_start_leave_weights_finite():
    """The weights of RBA are then 0, and so is their mean."""
    model = compiled({"bc0": "rba"}, loss_weights="auto")
    for condition in model.data.bcs[:1]:
        condition.error = lambda X, inputs, outputs, beg, end: 0 * outputs[beg:end]
    with pytest.warns(UserWarning, match="The weight of 'bc0' was left as it was"):
        model.train(iterations=3, verbose=0)
    assert np.isfinite(model.losshistory.loss_train).all()
    assert all(np.isfinite(list(model.weights.values())))
    assert all(torch.isfinite(p).all() for p in model.net.parameters())


def test_rba_that_starts_under_lbfgs_is_told(float64):
    """Its weights are at most eta^2 until the second step: (eta |e| / max |e|)^2."""
    model = ddb.Model(klein_gordon(), network())
    with pytest.warns(UserWarning, match=r"RBA grow from 0.*up to 1000 iter.*at most 0.0025, b"):
        model.compile("L-BFGS", point_weights=ddb.RBA(eta=0.05), verbose=0)
    model = compiled(ddb.RBA(eta=0.05))
    model.train(iterations=1, verbose=0)
    assert max(model.point_weights["pde"]) == pytest.approx(0.0025)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile("L-BFGS", loss_weights="keep", verbose=0)
        model.compile("L-BFGS", loss_weights="auto", point_weights="rba", verbose=0)
