"""Model with dynamic strategies: groups, references, optimizers, keep, external variables."""

import copy
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


def compiled(weights, data=None, net=None, optimizer="adam", lr=1e-2, **kwargs):
    model = ddb.Model(data or scripts.klein_gordon(), net or scripts.network())
    model.compile(optimizer, lr=lr, loss_weights=weights, verbose=0, **kwargs)
    return model


def gradient(model, term):
    """Plain autograd on DeepXDE's own loss of one term, and its parameters."""
    stock = dde.Model(model.data, copy.deepcopy(model.net))
    stock.compile("sgd", lr=1.0, verbose=0)
    loss = stock.outputs_losses_train(*model.data.train_next_batch())[1][term]
    g = torch.autograd.grad(loss, list(stock.net.parameters()), allow_unused=True)
    return loss.item(), g


def test_unused_parameters_are_no_part_of_the_statistic(float64):
    """Laplace's residual does not depend on the last bias, which then is not counted as 0."""
    model = compiled("gw-std", data=scripts.laplace())
    x = torch.tensor(model.data.train_x_all, requires_grad=True)
    u = model.net(x)
    (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    u_xx = torch.autograd.grad(du[:, 0].sum(), x, create_graph=True)[0][:, 0]
    u_yy = torch.autograd.grad(du[:, 1].sum(), x, create_graph=True)[0][:, 1]
    parameters = list(model.net.parameters())
    residual = (u_xx + u_yy).square().mean()
    g_r = torch.autograd.grad(residual, parameters, allow_unused=True)
    assert g_r[-1] is None
    x_bc = torch.tensor(model.data.train_x_bc)
    bc = (model.net(x_bc) - x_bc[:, 0:1] * x_bc[:, 1:2]).square().mean()
    g_b = torch.autograd.grad(bc, parameters)
    std = [torch.cat([g.reshape(-1) for g in gs if g is not None]).std() for gs in (g_r, g_b)]
    model.train(iterations=1, verbose=0)
    assert model.weights["bc0"] == pytest.approx(0.9 + 0.1 * (std[0] / std[1]).item(), rel=1e-10)


def sgd_step(model, weights_by_term):
    """The parameters after one SGD step with lr 1e-3 along the weighted sum of the gradients."""
    parameters = [p.detach().clone() for p in model.net.parameters()]
    for term, weight in enumerate(weights_by_term):
        for p, g in zip(parameters, gradient(model, term)[1], strict=True):
            if g is not None:
                p -= 1e-3 * weight * g
    return torch.cat([p.reshape(-1) for p in parameters])


def system(x, u):
    return [scripts.klein_gordon_residual(x, u), dde.grad.jacobian(u, x, i=0, j=0)]


def test_a_chosen_reference_and_unweighted_terms(float64):
    """pde0 is the reference, pde1 a condition; bc0 stays at weight 1."""
    data = scripts.klein_gordon(pde=system)
    groups = {"pde": [0], "unweighted": [0], "ic": [1, 2]}
    weighting = ddb.GW("std", alpha=1.0)
    model = compiled(weighting, data=data, optimizer="sgd", lr=1e-3, loss_groups=groups)
    g = [gradient(model, term)[1] for term in range(5)]
    flat = [torch.cat([x.reshape(-1) for x in row]) for row in g]
    flat[1] = flat[1][:-1]  # u_x does not depend on the last bias
    ic = torch.cat([(a + b).reshape(-1) for a, b in zip(g[3], g[4], strict=True)])
    w1, w_ic = flat[0].std() / flat[1].std(), flat[0].std() / ic.std()
    expected = sgd_step(model, [1, w1, 1, w_ic, w_ic])
    model.train(iterations=1, verbose=0)
    assert model.weights == pytest.approx({"pde": 1, "pde1": w1.item(), "ic": w_ic.item()})
    torch.testing.assert_close(scripts.parameters_of(model), expected, rtol=1e-12, atol=1e-12)


def test_scale_acts_before_the_weights(float64):
    """The scaled losses are what is balanced, so the conditions' scale cancels out."""
    weighting = ddb.GW("norm", alpha=1.0, scale={"bc0": 100.0, "pde": 2.0})
    model = compiled(weighting, optimizer="sgd", lr=1e-3)
    plain = compiled(ddb.GW("norm", alpha=1.0), optimizer="sgd", lr=1e-3)
    plain.train(iterations=1, verbose=0)
    w = plain.weights
    expected = sgd_step(model, [2, 2 * w["bc0"], 2 * w["ic1"], 2 * w["ic2"]])
    model.train(iterations=1, verbose=0)
    assert model.weights["bc0"] == pytest.approx(w["bc0"] * 2 / 100)
    assert model.weights["ic1"] == pytest.approx(w["ic1"] * 2)
    torch.testing.assert_close(scripts.parameters_of(model), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("update_every", [1, 2])
def test_external_variables_get_their_weighted_gradient(update_every, float64):
    """C's step follows the weighted sum, though C is no part of the statistics."""
    c = dde.Variable(2.0)

    def pde(x, u):
        return dde.grad.hessian(u, x, i=1, j=1) - c * dde.grad.hessian(u, x, i=0, j=0)

    data = scripts.klein_gordon(pde=pde)
    model = compiled(
        ddb.DB("std", update_every=update_every),
        data=data,
        optimizer="sgd",
        lr=1e-4,
        external_trainable_variables=c,
    )
    for _ in range(3):
        before = c.item()
        x = torch.tensor(data.train_x_all, requires_grad=True)
        u = model.net(x)
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        u_xx = torch.autograd.grad(du[:, 0].sum(), x, create_graph=True)[0][:, 0]
        u_tt = torch.autograd.grad(du[:, 1].sum(), x, create_graph=True)[0][:, 1]
        slope = (2 * (u_tt - before * u_xx) * -u_xx).mean().item()
        dde.gradients.clear()
        model.train(iterations=1, verbose=0)
        assert c.item() == pytest.approx(before - 1e-4 * slope, rel=1e-12)


def test_l1_regularization_is_not_weighted(float64):
    net = scripts.network(regularization=["l1", 0.1])
    model = compiled(ddb.GW("std", alpha=1.0), net=net, optimizer="sgd", lr=1e-3)
    before = [p.detach().clone() for p in net.parameters()]
    plain = compiled(ddb.GW("std", alpha=1.0), optimizer="sgd", lr=1e-3)
    plain.train(iterations=1, verbose=0)
    signs = torch.cat([p.sign().reshape(-1) for p in before])
    model.train(iterations=1, verbose=0)
    assert model.weights == pytest.approx(plain.weights)
    torch.testing.assert_close(
        scripts.parameters_of(model), scripts.parameters_of(plain) - 1e-3 * 0.1 * signs
    )


@pytest.fixture
def lbfgs_of_two_steps(optimizer_options):
    optimizer_options.lbfgs.update(maxiter=10, iter_per_step=5)


def test_lbfgs_updates_between_outer_steps_only(float64, lbfgs_of_two_steps):
    model = compiled(ddb.DB("std", update_every=1), optimizer="L-BFGS", lr=None)
    updates = []
    update = model.weighting.update

    def noted(*read):
        updates.append(model.train_state.step)
        update(*read)

    model.weighting.update = noted
    model.train(verbose=0)
    assert updates == [0, 5]
    assert len(model.losshistory.loss_weights) == len(model.losshistory.steps) == 3
    assert model.losshistory.loss_weights[1] != model.losshistory.loss_weights[2]


def test_lbfgs_minimises_the_weighted_sum(float64, optimizer_options):
    """One update at the start, then frozen: the same as stock L-BFGS with those numbers."""
    optimizer_options.lbfgs.update(maxiter=5, iter_per_step=5)
    model = compiled("db-std", optimizer="L-BFGS", lr=None)
    model.train(verbose=0)
    w = model.weights
    stock = dde.Model(model.data, scripts.network())
    stock.compile("L-BFGS", loss_weights=[1.0, w["bc0"], w["ic1"], w["ic2"]], verbose=0)
    stock.train(verbose=0)
    torch.testing.assert_close(scripts.parameters_of(model), scripts.parameters_of(stock))


def test_nncg_sees_frozen_weights(float64, optimizer_options):
    optimizer_options.nncg.update(updatefreq=2, rank=5, cgmaxiter=3, mu=10.0)
    model = compiled(ddb.GW("norm", update_every=2), optimizer="NNCG", lr=None)
    model.train(iterations=1, verbose=0)
    w = model.weights
    stock = dde.Model(model.data, scripts.network())
    stock.compile("NNCG", loss_weights=[1.0, w["bc0"], w["ic1"], w["ic2"]], verbose=0)
    for m in (model, stock):
        m.net.load_state_dict(scripts.network().state_dict())
        m.opt.n_iters = 0
        torch.manual_seed(0)
        m.train(iterations=1, verbose=0)
    torch.testing.assert_close(scripts.parameters_of(model), scripts.parameters_of(stock))
    assert model.weights == w  # the second iteration has no update


def test_a_torch_optimizer_with_its_own_variables(float64):
    net, c = scripts.network(), dde.Variable(1.0)

    def pde(x, u):
        return dde.grad.hessian(u, x, i=1, j=1) - c * u

    optimizer = torch.optim.NAdam([*net.parameters(), c], lr=1e-2)
    model = compiled("db-mean", scripts.klein_gordon(pde=pde), net, optimizer, lr=None)
    model.train(iterations=3, verbose=0)
    assert c.item() != 1.0
    assert model.weights["bc0"] != 1.0


def test_keep_freezes_the_weights_of_the_phase_before(float64, lbfgs_of_two_steps):
    groups = {"bc": [0], "ic": [1, 2]}
    model = compiled(ddb.DB("std", update_every=5), loss_groups=groups)
    model.train(iterations=12, verbose=0)
    kept, before = model.weights, copy.deepcopy(model.net)
    model.compile("L-BFGS", loss_weights="keep", verbose=0)
    model.train(verbose=0)
    assert model.weights == kept
    assert model.losshistory.loss_weights[-1] == kept
    stock = dde.Model(model.data, before)
    stock.compile("L-BFGS", loss_weights=[1.0, kept["bc"], kept["ic"], kept["ic"]], verbose=0)
    stock.train(verbose=0)
    torch.testing.assert_close(scripts.parameters_of(model), scripts.parameters_of(stock))
    # The history stays unweighted across the phases.
    unweighted = stock.train_state.loss_train / np.array(stock.loss_weights)
    np.testing.assert_allclose(model.train_state.loss_train, unweighted, rtol=1e-6)


def kept_after(change):
    """The weights before and after `change(data)` and a compile with `"keep"`."""
    model = compiled("db-std")
    model.train(iterations=1, verbose=0)
    before = model.weights
    change(model.data)
    model.data.resample_train_points()
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    return before, model


def more_conditions(data):
    data.bcs.append(dde.icbc.PointSetBC(np.ones((2, 2), dtype="float32"), 0.0))


def another_residual_and_a_condition_less(data):
    del data.bcs[0]
    data.pde = lambda x, u: [scripts.klein_gordon_residual(x, u), u - 1]


@pytest.mark.parametrize(
    "change, now",
    [
        (lambda data: data.bcs.reverse(), "ic0, ic1, bc2"),
        (lambda data: data.bcs.append(data.bcs.pop(1)), "ic2, with conditions in another order"),
        (more_conditions, "ic2, data3"),
        (lambda data: data.bcs.pop(), "ic1"),
        (another_residual_and_a_condition_less, "pde0, pde1, ic0, ic1"),
    ],
)
def test_keep_refuses_other_terms_than_those_of_the_phase_before(change, now):
    with pytest.raises(ValueError, match=rf"pde, bc0, ic1, ic2\. Now they are .*{now}: give"):
        kept_after(change)


def test_keep_takes_conditions_made_anew(float64):
    before, model = kept_after(lambda data: setattr(data, "bcs", scripts.klein_gordon().bcs))
    assert model.weights == before
    model.train(iterations=1, verbose=0)


class Negative(ddb.FromLosses):
    may_be_negative = True

    def update(self, losses):
        self.weights = torch.linspace(-1, 2, len(losses)).to(losses)


@pytest.mark.parametrize(
    "strategy, message",
    [("config", "of 'config': they fit one iteration only"), (Negative(), "those of pde are neg")],
)
def test_keep_refuses_weights_that_would_raise_a_loss(strategy, message):
    model = compiled(strategy)
    model.train(iterations=1, verbose=0)
    with pytest.raises(ValueError, match=f"can't keep the weights .*{message}"):
        model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)


class Normalised(dde.nn.NN):
    """A network that counts its evaluations in training mode."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(2, 8), torch.nn.BatchNorm1d(8), torch.nn.Tanh(), torch.nn.Linear(8, 1)
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("strategy", ["auto", "ntk"])
def test_readings_of_the_kernel_leave_buffers_alone(strategy):
    dde.config.set_random_seed(0)
    numbers = []
    for weights in ("dn", strategy):
        model = compiled(weights, net=Normalised(), gradient_engine="per-group")
        model.train(iterations=3, verbose=0)
        numbers.append(model.net.layers[1].num_batches_tracked.item())
    assert numbers == [numbers[0]] * 2


def test_a_phase_that_drops_the_weights_is_warned_about():
    model = compiled("db-std")
    with pytest.raises(ValueError, match="has not been trained since it was compiled"):
        model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    model.train(iterations=1, verbose=0)
    with pytest.warns(UserWarning, match='give "keep" to go on'):
        model.compile("adam", lr=1e-3, verbose=0)
    model.compile("adam", lr=1e-3, verbose=0)  # without a warning: there is nothing to drop
    model.compile("adam", lr=1e-3, loss_weights="db-std", verbose=0)
    model.train(iterations=1, verbose=0)
    with pytest.warns(UserWarning, match='start afresh, with 1 for all: give "keep"') as told:
        model.compile("adam", lr=1e-3, loss_weights="db-std", verbose=0)
    assert len(told) == 1
    model.train(iterations=1, verbose=0)
    model.compile("adam", lr=1e-3, loss_weights=[1, 2, 3, 4], verbose=0)  # said by the script


def test_weights_by_name_are_the_list_with_1_elsewhere(float64):
    named, listed = compiled({"ic2": 5, "bc0": 100.0}), compiled([1.0, 100.0, 1.0, 5.0])
    assert named.weights == {"pde": 1, "bc0": 100, "ic1": 1, "ic2": 5}
    assert named.loss_weights == listed.loss_weights
    for model in (named, listed):
        model.train(iterations=3, verbose=0)
    assert torch.equal(scripts.parameters_of(named), scripts.parameters_of(listed))
    np.testing.assert_array_equal(named.train_state.loss_train, listed.train_state.loss_train)


def test_compile_says_that_lbfgs_changes_no_weights_within_a_step(capsys, lbfgs_of_two_steps):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    said = "don't change within a step of the optimizer, of up to 5 iterations"
    model.compile("L-BFGS", loss_weights="db-std")
    assert said in capsys.readouterr().out
    model.train(verbose=0)
    model.compile("L-BFGS", loss_weights="keep")
    ddb.Model(model.data, model.net).compile("adam", lr=1e-3, loss_weights="db-std")
    assert said not in capsys.readouterr().out


def test_compile_starts_afresh_and_leaves_the_given_object_alone(float64):
    weighting = ddb.DB("std", update_every=1)
    model = compiled(weighting)
    model.train(iterations=3, verbose=0)
    assert weighting.iteration == 0 and not len(weighting.weights)
    assert model.weighting.iteration == 3
    with pytest.warns(UserWarning, match="start afresh"):
        model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    assert model.weights == {"pde": 1, "bc0": 1, "ic1": 1, "ic2": 1}
    assert model.weighting.iteration == 0


def test_an_update_costs_no_evaluation_beyond_its_own(float64):
    """One evaluation of the losses an iteration, with an update or without (after the check)."""
    calls = []

    def pde(x, u):
        calls.append(len(x))
        return scripts.klein_gordon_residual(x, u)

    model = compiled(ddb.DB("std", update_every=3), scripts.klein_gordon(pde=pde))
    batch = model.data.train_next_batch()
    model.train_step(*batch)
    calls.clear()
    for iteration in range(6):
        model.train_step(*batch)
        assert len(calls) == iteration + 1


def test_skipped_groups_are_warned_about_once(float64):
    """The network has the boundary values, whatever its inputs: no gradient there."""
    net = scripts.network()
    net.apply_output_transform(
        lambda x, u: torch.where((x[:, 0:1] - 0.5).abs() > 0.49, torch.zeros_like(u), u)
    )
    geom = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.DirichletBC(geom, lambda x: 0 * x[:, :1], lambda _, on: on)
    ic = dde.icbc.IC(geom, lambda x: x[:, :1] ** 2, lambda _, on: on)
    data = dde.data.TimePDE(geom, scripts.klein_gordon_residual, [bc, ic], 20, 10, 10)
    model = compiled(ddb.DB("std", update_every=1), data, net)
    with pytest.warns(
        UserWarning,
        match="weight of 'bc0' was left as it was",
    ) as caught:
        model.train(iterations=4, display_every=1, verbose=0)
    assert len(caught) == 1
    assert model.weights["bc0"] == 1 and model.weights["ic1"] != 1


def test_frozen_layers_stay_frozen(float64):
    net = scripts.network()
    net.linears[0].requires_grad_(False)
    before = net.linears[0].weight.clone()
    model = compiled("db-std", net=net)
    model.train(iterations=5, display_every=1, verbose=0)
    assert torch.equal(net.linears[0].weight, before)
    assert not net.linears[0].weight.requires_grad


def test_float32_by_default():
    model = compiled("db-kurtosis")
    model.train(iterations=3, verbose=0)
    assert model.weighting.weights.dtype == torch.float32


def test_weights_of_equal_and_of_a_list():
    model = compiled(None)
    assert model.weights == {} and model.loss_terms == []
    model.train(iterations=1, verbose=0)
    assert model.loss_terms == ["pde", "bc0", "ic1", "ic2"]
    assert model.weights == {"pde": 1, "bc0": 1, "ic1": 1, "ic2": 1}
    model.compile("adam", lr=1e-3, loss_weights=(1, 2.5, np.float64(3), 0), verbose=0)
    assert model.weights == {"pde": 1, "bc0": 2.5, "ic1": 3, "ic2": 0}
    model.compile("adam", lr=1e-3, loss_weights=np.ones(4), verbose=0)
    model.train(iterations=1, verbose=0)


def test_mf_data_with_a_chosen_reference():
    """A data class that gives a list of losses of its own."""
    x = np.linspace(0, 1, 8, dtype=np.float32)[:, None]
    data = dde.data.MfDataSet(x, x[:4], np.sin(x), np.cos(x[:4]), x, np.cos(x))
    net = dde.nn.FNN([1, 6, 2], "tanh", "Glorot normal")

    class Pair(torch.nn.Module):
        regularizer = None

        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x).split(1, dim=1)

    model = ddb.Model(data, Pair())
    with pytest.raises(ValueError, match="MfDataSet gives 2 loss"):
        model.compile("adam", lr=1e-3, loss_weights="gw-std", verbose=0)
    groups = {"pde": [0], "high": ["loss1"]}
    model.compile("adam", lr=1e-3, loss_weights="dn", loss_groups=groups, verbose=0)
    model.train(iterations=2, verbose=0)
    assert model.weights["high"] != 1


# Bad input: a clear error at compile, and the model as it was.


@pytest.mark.parametrize(
    "weights, groups, error, message",
    [
        ("db-kurt", None, ValueError, "Did you mean 'db-kurtosis'"),
        ([1, 2], None, ValueError, "2 numbers, but there are 4 loss terms: pde, bc0, ic1, ic2"),
        ([1, 2, 3, -4], None, ValueError, r"loss_weights\[3\]=-4"),
        ([1, 2, 3, float("nan")], None, ValueError, r"loss_weights\[3\]=nan"),
        ([1, 2, 3, "4"], None, TypeError, r"loss_weights\[3\]='4' .* a plain number"),
        ({"bc1": 2}, None, ValueError, "loss_weights: 'bc1'. Did you mean 'ic1'"),
        ({"bc0": -1}, None, ValueError, r"loss_weights\['bc0'\]=-1"),
        ({"bc0": "2"}, None, TypeError, r"loss_weights\['bc0'\]='2' .* a plain number"),
        ({}, None, ValueError, "names no loss term"),
        (5.0, None, TypeError, "a list of numbers"),
        (ddb.DB, None, TypeError, "it is a class; give an object"),
        ("db-mean", {"bc": [0]}, ValueError, "no group for ic1, ic2"),
        ("equal", {"bc": [0]}, ValueError, "no group for ic1, ic2"),
        ("keep", None, ValueError, "has not been compiled yet"),
        (ddb.DB("std", scale=[1, 2]), None, ValueError, "scale has 2 numbers"),
        ([1, 2, 3, 4], {"bc": [0], "ic": [1, 2]}, ValueError, "leave loss_groups out"),
    ],
)
def test_bad_input(weights, groups, error, message):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(error, match=message):
        model.compile("adam", lr=1e-3, loss_weights=weights, loss_groups=groups, verbose=0)
    assert model.train_step is None


def test_a_failed_compile_leaves_the_model_as_it_was():
    model = compiled("db-std")
    model.train(iterations=2, verbose=0)
    before = model.opt, model.train_step, model.weights
    with pytest.raises(ValueError):
        model.compile("adam", lr=1e-3, loss_weights="unheard-of", verbose=0)
    with pytest.raises(ValueError, match="leave loss_groups out"):
        model.compile("adam", lr=1e-3, loss_weights="keep", loss_groups={"a": [0, 1, 2]})
    assert (model.opt, model.train_step, model.weights) == before


def test_nothing_to_balance():
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    model = ddb.Model(dde.data.PDE(geom, scripts.laplace_residual, [], 20), scripts.network())
    with pytest.raises(ValueError, match="no condition, only the reference"):
        model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
    model.compile("adam", lr=1e-3, loss_weights="equal", verbose=0)
    model.train(iterations=1, verbose=0)


NO_RESIDUAL: list[Any] = [lambda x, u: [], None]
WITHOUT_REFERENCE = [
    "relobralo", "softadapt", "uw", "sa", "sa-term", "grad-norm", "gradnorm", "config", "ntk"
]  # fmt: skip


def data_only(pde):
    """A fit of two data sets."""
    dde.config.set_random_seed(1)
    geom = dde.geometry.Rectangle([0, 0], [1, 1])
    points = [np.random.rand(n, 2) for n in (5, 9)]
    sets = [dde.icbc.PointSetBC(x, np.sin(x[:, :1] + i)) for i, x in enumerate(points)]
    return dde.data.PDE(geom, pde, sets, 4)


@pytest.mark.parametrize("pde", NO_RESIDUAL)
@pytest.mark.parametrize("strategy", WITHOUT_REFERENCE)
def test_a_problem_without_residuals(pde, strategy, float64):
    """The first step is along the weighted gradients of the conditions, by plain autograd."""
    model = compiled(strategy, data=data_only(pde), optimizer="sgd", lr=1e-3)
    assert list(model.weights) == ["data0", "data1"]
    if strategy == "sa":  # the weights are of points
        model.train(iterations=2, verbose=0)
        assert list(model.weights) == ["data0", "data1"]
        return
    before = copy.deepcopy(model.net)
    model.train(iterations=1, verbose=0)
    after, model.net = scripts.parameters_of(model), before
    torch.testing.assert_close(after, sgd_step(model, list(model.weights.values())))


@pytest.mark.parametrize("pde", NO_RESIDUAL)
def test_a_condition_as_the_reference(pde, float64):
    """gw-std weighs data0 by std(g of data1) / std(g of data0), averaged with 1."""
    model = ddb.Model(data_only(pde), scripts.network())
    for strategy in ("db-mean", "auto", "capu"):
        with pytest.raises(ValueError, match=r'no PDE residual.*"reference": \[\'data0\'\]'):
            model.compile("adam", lr=1e-3, loss_weights=strategy, verbose=0)
    groups = {"reference": [1]}
    model.compile("adam", lr=1e-3, loss_weights="gw-std", loss_groups=groups, verbose=0)
    std = [torch.cat([g.reshape(-1) for g in gradient(model, i)[1]]).std().item() for i in (0, 1)]
    model.train(iterations=1, verbose=0)
    assert model.weights == {"reference": 1, "data0": pytest.approx(0.9 + 0.1 * std[1] / std[0])}
    model.compile("adam", lr=1e-3, loss_weights="equal", loss_groups=groups, verbose=0)
    model.compile("adam", lr=1e-3, loss_weights="auto", loss_groups=groups, verbose=0)
    model.train(iterations=2, verbose=0)
    assert model.weights["data0"] != 1


def test_data_without_separate_losses():
    data = dde.data.Function(dde.geometry.Interval(-1, 1), np.sin, 16, 16)
    model = ddb.Model(data, scripts.network((1, 8, 1)))
    with pytest.raises(ValueError, match="Function gives 1 loss"):
        model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)


def test_one_condition_group_is_warned_about():
    with pytest.warns(UserWarning, match=r"nothing to balance between conditions.*split_bc"):
        compiled("db-mean", scripts.laplace())
    compiled("gw-mean", scripts.laplace())  # without a warning
    compiled("db-mean")


def test_a_decay_that_deepxde_refuses_leaves_the_model_as_it_was():
    model = compiled("db-mean")
    before = dict(vars(model))
    with pytest.raises(NotImplementedError):
        model.compile("adam", lr=1e-3, loss_weights=[1, 2, 3, 4], decay=("none", 1), verbose=0)
    assert all(vars(model)[name] is value for name, value in before.items())


class FromScript(ddb.FromLosses):
    """A user's strategy that goes wrong in its third update."""

    def update(self, losses):
        self.weights = torch.ones_like(losses)
        if self.iteration == 4:
            self.weights[1] = -3.0


@pytest.mark.parametrize("stock", [False, True])
def test_a_strategy_that_sets_a_negative_weight_is_stopped_at_the_next_record(stock):
    strategy = FromScript(update_every=2)
    if stock:
        model = dde.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-3, verbose=0)
        callbacks = [ddb.LossWeighting(strategy)]
    else:
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-3, loss_weights=strategy, verbose=0)
        callbacks = []
    with pytest.raises(RuntimeError, match=r"FromScript gave .* 'bc0' a weight at iteration 4"):
        model.train(iterations=10, display_every=3, callbacks=callbacks, verbose=0)
    assert model.train_state.step == 6  # the first record after it


def test_a_failed_compile_removes_what_it_added():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(KeyError):  # DeepXDE's, when it has made the optimizer
        model.compile("adam", lr=1e-3, metrics=["no such metric"], verbose=0)
    before = set(vars(ddb.Model(scripts.klein_gordon(), scripts.network())))
    assert set(vars(model)) == before
    assert model.opt is None
    assert model.weighting is None


def test_the_stock_class_is_known_where_a_script_has_replaced_it(monkeypatch):
    monkeypatch.setattr(dde, "Model", ddb.Model)
    made = []
    original = ddb.Model.compile

    def compile_(self, *args, **kwargs):
        made.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(ddb.Model, "compile", compile_)
    model = dde.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="db-mean", verbose=0)
    model.train(iterations=2, verbose=0)
    assert made == [model]  # no helper of ours
    assert model.weights["bc0"] != 1


def test_weights_that_were_not_allowed_are_not_kept():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=FromScript(update_every=2), verbose=0)
    with pytest.raises(RuntimeError, match="'bc0' a weight at iteration 4"):
        model.train(iterations=10, display_every=10, verbose=0)
    with pytest.raises(RuntimeError, match="'bc0' a weight at iteration 4"):
        model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)


class StopsAtOnce(dde.callbacks.Callback):
    def on_epoch_end(self):
        self.model.stop_training = self.model.train_state.step == 6


def test_weights_are_checked_where_training_stops_between_two_records():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=FromScript(update_every=2), verbose=0)
    with pytest.raises(RuntimeError, match="'bc0' a weight at iteration 4"):
        model.train(iterations=10, display_every=10, callbacks=[StopsAtOnce()], verbose=0)


class ReadsNothing(ddb.weightings.Weighting):
    def update(self, losses):
        self.weights = losses


class ForgetsItsState(ddb.FromLosses):
    def reset(self, num_groups, like):
        super().reset(num_groups, like)
        self.last = like.new_zeros(num_groups)

    def update(self, losses):
        self.last = losses


@pytest.mark.parametrize(
    "strategy, message",
    [
        (ReadsNothing, r"ReadsNothing does not say what .* ddb\.FromLosses or ddb\.FromGradients"),
        (ForgetsItsState, r"ForgetsItsState\.last is a tensor .* self\.register_buffer\('last'"),
    ],
)
def test_a_strategy_that_would_fail_silently_is_refused_at_compile(strategy, message):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(TypeError, match=message):
        model.compile("adam", lr=1e-3, loss_weights=strategy(), verbose=0)


def test_keep_keeps_the_numbers_that_a_script_has_set_last():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights=[1, 1, 1, 1], verbose=0)
    model.train(iterations=1, verbose=0)
    model.loss_weights = [1, 10, 20, 30]
    model.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    assert list(model.weights.values()) == [1, 10, 20, 30]
    assert list(model.train_step.term_weights()) == [1, 10, 20, 30]


def test_keep_of_weights_per_point_needs_squares_too():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-3, loss_weights="sa", verbose=0)
    model.train(iterations=1, verbose=0)
    with pytest.raises(ValueError, match="squared errors"):
        model.compile("adam", lr=1e-3, loss="MAE", loss_weights="keep", verbose=0)


def test_a_class_in_place_of_a_strategy_is_named():
    model = ddb.problems.get("harmonic").model("equal", verbose=0)
    with pytest.raises(TypeError, match="loss_weights=DN is not allowed: it is a class"):
        model.compile("adam", lr=1e-3, loss_weights=ddb.DN)  # type: ignore[arg-type]


def test_data_and_network_the_wrong_way_round():
    with pytest.raises(TypeError, match="data=FNN is a network: data comes first, then net"):
        ddb.Model(scripts.network(), scripts.klein_gordon())
