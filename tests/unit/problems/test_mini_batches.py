"""Mini-batches of a pool of points."""

import deepxde as dde
import numpy as np
import pytest

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
