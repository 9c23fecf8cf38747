import os

os.environ["DDE_BACKEND"] = "pytorch"

import deepxde as dde
import pytest
import torch

from deepxde_balance.gradients import choose as engine
from deepxde_balance.gradients.compiled import engine as compiled
from deepxde_balance.gradients.compiled import limits

torch.set_num_threads(1)  # the tensors of the tests are small


@pytest.fixture
def float64():
    """DeepXDE in double precision for one test."""
    dde.config.set_default_float("float64")
    yield
    dde.config.set_default_float("float32")


@pytest.fixture(autouse=True)
def _as_if_there_were_many_points(monkeypatch):
    """The tests' problems are small; they take the engine that large ones take."""
    monkeypatch.setattr(engine, "FEW_POINTS", 0)


@pytest.fixture(autouse=True)
def _seeded():
    dde.config.set_random_seed(1234)
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def compilations(monkeypatch):
    """Traced, but interpreted instead of compiled, which takes long; lists the compiled graphs."""
    graphs = []

    def take(traced):
        graphs.append(traced.graph)
        return traced.graph

    monkeypatch.setattr(compiled, "compile_graph", take)
    return graphs


@pytest.fixture
def points_may_change_often(monkeypatch):
    """The compiled engine follows new points however often they come; its limits are as if off."""
    monkeypatch.setattr(limits, "FEWEST_EVALUATIONS", 0)


@pytest.fixture
def lbfgs_options():
    """20 iterations of L-BFGS, in steps of 5."""
    dde.optimizers.set_LBFGS_options(maxiter=20)
    dde.optimizers.config.LBFGS_options["iter_per_step"] = 5
    yield
    dde.optimizers.set_LBFGS_options()
    dde.optimizers.config.LBFGS_options["iter_per_step"] = 1000
