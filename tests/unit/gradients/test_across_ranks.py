import pytest
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance import ranks as ranks_module


class Alone(ranks_module.Ranks):
    """The only rank, without a process group."""

    def __init__(self):
        super().__init__(0, 1, timeout=1.0)
        self.sums = []

    def add_up(self, tensor):
        self.sums.append(tensor.numel())

    def gather(self, value):
        return [value] * self.size


@pytest.fixture
def alone(monkeypatch):
    """This process as the only rank; it counts what would be added up."""
    rank = Alone()
    monkeypatch.setattr(ranks_module, "_current", rank)
    return rank


def compiled(weights, **kwargs):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0, **kwargs)
    return model


def sums_of_an_iteration(alone, model):
    """What the second iteration adds up; the first one at new points exchanges more."""
    batch = model.data.train_next_batch()
    model.train_step(*batch)
    alone.sums.clear()
    model.train_step(*batch)
    return alone.sums


def test_an_update_from_gradients_adds_up_once(alone):
    model = compiled("db-kurtosis")
    terms, groups = 4, 4
    expected = [terms + groups * len(scripts.parameters_of(model))]
    assert sums_of_an_iteration(alone, model) == expected


def test_an_iteration_without_update_adds_up_losses_and_one_gradient(alone):
    model = compiled("equal")
    expected = [4, len(scripts.parameters_of(model))]
    assert sums_of_an_iteration(alone, model) == expected


def test_point_weights_add_up_the_errors_of_all_points(alone):
    model = compiled("equal", point_weights="rba")
    points = len(model.data.train_x)  # each has one error
    expected = [points, 4, len(scripts.parameters_of(model))]
    assert sums_of_an_iteration(alone, model) == expected
