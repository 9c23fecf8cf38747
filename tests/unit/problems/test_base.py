"""What all problems have in common: training in one phase or two, errors, unknown coefficients."""

import deepxde as dde
import numpy as np
import pytest
import torch

import deepxde_balance as ddb

NAMES = ddb.problems.names()


def test_the_learning_rate_decays():
    problem = ddb.problems.get("wave", points=0.01, decay_every=2, width=8)
    model = problem.model("equal", verbose=0)
    model.train(iterations=4, verbose=0)
    assert model.opt.param_groups[0]["lr"] == pytest.approx(0.9**2 * 1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_errors_by_hand(name):
    """A network that is twice the solution is wrong by 100 %."""
    problem = ddb.problems.get(name)

    class Double:
        def predict(self, x, operator=None):
            return 2 * problem.solution(x)

    errors = problem.errors(Double())
    assert errors["L2RE"] == pytest.approx(1.0)
    assert errors["MAE"] == pytest.approx(
        np.abs(problem.solution(problem.evaluation_points)).mean()
    )


def test_the_seed_fixes_points_and_network():
    problem = ddb.problems.get("klein-gordon", points=0.01)
    a, b, c = (problem.model("equal", seed=s, verbose=0) for s in (3, 3, 4))
    for first, second, same in ((a, b, True), (a, c, False)):
        assert np.array_equal(first.data.train_x_all, second.data.train_x_all) == same
        assert torch.equal(first.net.linears[0].weight, second.net.linears[0].weight) == same


@pytest.mark.parametrize("name", [n for n in ddb.weightings.names() if n not in ("equal", "keep")])
def test_an_update_every_that_is_given_is_every_strategys(name):
    for every in (7, 10):  # 10 is the paper's
        problem = ddb.problems.get("helmholtz", update_every=every)
        assert problem.weighting(name).update_every == every
        assert problem.weighting(name, update_every=3).update_every == 3


def test_the_papers_update_every_is_its_strategies():
    problem = ddb.problems.get("helmholtz")
    names = ("gw-mean", "dn", "dn-l1", "db-kurtosis", "grad-norm", "ntk", "config", "uw", "sa")
    found = [problem.weighting(name).update_every for name in names]
    assert found == [10, 10, 10, 10, 100, 100, 1, 1, 1]
    fixed = ddb.problems.get("helmholtz", points=0.02, update_every=7)
    assert not fixed.weighting("equal").dynamic
    assert fixed.model(ddb.DN(update_every=5), verbose=0).weighting.update_every == 5


def test_unknown_coefficients_are_trained():
    problem = ddb.problems.get("burgers-inverse", points=0.02, iterations=3, lbfgs_iterations=0)
    assert problem.true_coefficients == {"C1": 1.0, "C2": pytest.approx(0.0031831, rel=1e-5)}
    model = problem.model("db-mean", verbose=0)
    assert problem.coefficients(model) == {"C1": 2.0, "C2": pytest.approx(0.2)}
    model.train(iterations=3, verbose=0)
    after = problem.coefficients(model)
    # Adam's first steps are of the size of the learning rate.
    assert 1e-4 < abs(after["C1"] - 2.0) < 4e-3 and 1e-4 < abs(after["C2"] - 0.2) < 4e-3
    fresh = problem.model("db-mean", verbose=0)
    assert problem.coefficients(fresh) == {"C1": 2.0, "C2": pytest.approx(0.2)}
    assert problem.coefficients(model) == after


def test_problems_without_unknowns_have_no_coefficients():
    problem = ddb.problems.get("burgers", points=0.02)
    assert problem.coefficients(problem.model("equal", verbose=0)) == {}
    assert problem.true_coefficients == {}


def test_lbfgs_keeps_the_weights_and_lowers_the_loss(optimizer_options):
    problem = ddb.problems.get("burgers-inverse", points=0.02, iterations=5, lbfgs_iterations=120)
    model = problem.model("db-mean", verbose=0)
    phases, at_start = [], []

    class Phase(dde.callbacks.Callback):
        def on_train_begin(self):
            at_start.append(problem.coefficients(self.model))
            phases.append((type(self.model.opt), self.model.train_state.step, self.model.weights))

    problem.train(model, callbacks=[Phase()], verbose=0)
    assert [(kind, step) for kind, step, _ in phases] == [
        (torch.optim.Adam, 0),
        (torch.optim.LBFGS, 5),
    ]
    weights = phases[1][2]
    assert model.weights == pytest.approx(weights) and weights["bc"] > 10
    history = model.losshistory
    assert all(w == pytest.approx(weights) for w in history.loss_weights[-2:])
    # two steps of 60 iterations each, and a record after each
    assert history.steps[-2:] == [65, 125]
    before, after = (
        sum(
            model.weights[g] * loss
            for g, loss in zip(["pde", "bc", "bc", "ic", "data"], row, strict=True)
        )
        for row in (history.loss_train[history.steps.index(5)], history.loss_train[-1])
    )
    assert np.isfinite(after) and after < before
    changed = problem.coefficients(model)
    assert abs(changed["C1"] - at_start[1]["C1"]) > 1e-4
    assert abs(changed["C2"] - at_start[1]["C2"]) > 1e-2
    options = model.opt.defaults
    assert (options["line_search_fn"], options["history_size"]) == ("strong_wolfe", 100)


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
def test_lbfgs_is_compiled_as_adam_was(engine, optimizer_options):
    problem = ddb.problems.get("burgers-inverse", points=0.02, iterations=2, lbfgs_iterations=2)

    def largest(_, predicted):
        return np.abs(predicted).max()

    model = problem.model("dn", verbose=0, gradient_engine=engine, metrics=[largest], loss="MAE")
    problem.train(model, verbose=0)
    assert isinstance(model.opt, torch.optim.LBFGS)
    assert model.gradient_engine == engine
    history = model.losshistory
    assert [len(row) for row in history.metrics_test] == [1] * len(history.steps)
    u = model.predict(model.data.bcs[3].points)
    error = np.abs(u - model.data.bcs[3].values.numpy()).mean()
    assert history.loss_train[-1][4] == pytest.approx(error, rel=1e-5)


def test_the_phases_are_trained_one_after_the_other(optimizer_options):
    problem = ddb.problems.get("burgers-inverse", points=0.02, iterations=3, lbfgs_iterations=4)
    model = problem.model("dn", verbose=0)
    seen = []
    for phase, iterations in problem.phases(model, verbose=0):
        seen.append((phase, iterations, model.train_state.step, type(model.opt)))
        model.train(iterations=iterations, verbose=0)
    assert seen == [("adam", 3, 0, torch.optim.Adam), ("lbfgs", 4, 3, torch.optim.LBFGS)]
    assert model.train_state.step == 7
    whole = problem.model("dn", verbose=0)
    problem.train(whole, verbose=0)
    assert whole.losshistory.loss_train[-1].tolist() == model.losshistory.loss_train[-1].tolist()
    no_lbfgs = ddb.problems.get("burgers-inverse", points=0.02, iterations=3, lbfgs_iterations=0)
    model = no_lbfgs.model("equal", verbose=0)
    for phase, _ in no_lbfgs.phases(model):
        assert phase == "adam"
        no_lbfgs.train(model, iterations=2, verbose=0)  # other iterations of Adam
    assert model.train_state.step == 2


def test_lbfgs_in_passes_as_adam_was(optimizer_options):
    problem = ddb.problems.get("burgers-inverse", points=0.02, iterations=2, lbfgs_iterations=2)
    model = problem.model("dn", verbose=0, points_per_pass=50)
    problem.train(model, verbose=0)
    assert isinstance(model.opt, torch.optim.LBFGS)
    assert model.points_per_pass == 50


@pytest.mark.filterwarnings("ignore:The loss of .* not finite")
def test_no_second_phase_after_divergence():
    problem = ddb.problems.get("burgers-inverse", points=0.02, iterations=2)
    model = problem.model("equal", verbose=0)
    with torch.no_grad():
        model.net.linears[0].weight.fill_(torch.nan)
    problem.train(model, verbose=0)
    assert isinstance(model.opt, torch.optim.Adam)


def test_lbfgs_needs_iterations():
    problem = ddb.problems.get("burgers-inverse", points=0.02)
    with pytest.raises(ValueError, match="iterations=0"):
        problem.compile_lbfgs(problem.model("equal", verbose=0), 0)
