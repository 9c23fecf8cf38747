"""How problems train: mini-batches, unknown coefficients, and two phases."""

import deepxde as dde
import numpy as np
import pytest
import torch

import deepxde_balance as ddb


class Batches(dde.callbacks.Callback):
    """Keeps the residual points of every iteration."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_batch_end(self):
        start = sum(self.model.data.num_bcs)
        self.seen.append(self.model.train_state.X_train[start:].copy())


def batches_of(iterations, seed=0):
    problem = ddb.problems.get("allen-cahn-dn", points=0.02, iterations=iterations)
    model = problem.model("equal", seed=seed, verbose=0)
    batches = Batches()
    problem.train(model, callbacks=[batches], verbose=0)
    return model, batches.seen


def test_mini_batches():
    model, seen = batches_of(4)
    pool = {tuple(x) for x in model.data.pool}
    assert len(pool) == 400
    drawn = [{tuple(x) for x in batch} for batch in seen]
    assert [len(batch) for batch in drawn] == [82] * 4  # 2 % of 4096, none twice
    assert all(batch <= pool for batch in drawn)
    assert len({frozenset(batch) for batch in drawn}) == 4
    assert model.data.num_bcs == [4, 4, 10]
    assert len(model.data.test_x) == 400 + 18


def test_mini_batches_depend_on_the_random_state_only():
    _, whole = batches_of(4)
    problem = ddb.problems.get("allen-cahn-dn", points=0.02, iterations=2)
    model = problem.model("equal", verbose=0)
    problem.train(model, verbose=0)
    state = np.random.get_state()
    other = problem.model("equal", verbose=0)
    np.random.set_state(state)
    batches = Batches()
    problem.train(other, callbacks=[batches], verbose=0)
    np.testing.assert_array_equal(np.stack(batches.seen), np.stack(whole[2:]))


def test_a_mini_batch_must_fit_the_pool():
    with pytest.raises(ValueError, match="batch_size=300"):
        ddb.problems.get(
            "allen-cahn-dn",
            num_points={"residual": 200, "batch": 300, "boundary": 5, "initial": 5},
        ).model(verbose=0)


def test_other_problems_need_no_callbacks():
    assert ddb.problems.get("wave").callbacks() == []
    assert len(ddb.problems.get("allen-cahn-dn").callbacks()) == 1


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
