import importlib.util
import os
from types import SimpleNamespace

os.environ["DDE_BACKEND"] = "pytorch"

import deepxde as dde
import pytest
import torch
from hypothesis import settings

from deepxde_balance.gradients import choose
from deepxde_balance.gradients.compiled import engine as compiled
from deepxde_balance.gradients.compiled import fastest, limits, pay_off

torch.set_num_threads(1)  # the tensors of the tests are small

if importlib.util.find_spec("nbformat") is None:  # without the tools of the documentation
    collect_ignore = ["system/test_docs.py"]

# Of wrong input: `make test-slow` takes it.
settings.register_profile("thorough", max_examples=400, print_blob=True)


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        choices=["meta", "cuda"],
        default="meta",
        help="of the tests marked `device`: one without values by default, which needs no GPU",
    )


def global_state():
    """What a test could leave behind for the tests after it."""
    return {
        "float type": (dde.config.default_float(), dde.config.mixed, torch.get_default_dtype()),
        "autodiff": dde.config.autodiff,
        "L-BFGS options": dict(dde.optimizers.LBFGS_options),
        "NNCG options": dict(dde.optimizers.NNCG_options),
        "few points": choose.FEW_POINTS,
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
    }


@pytest.fixture(autouse=True)
def _seeded_and_left_as_found():
    dde.config.set_random_seed(1234)
    before = global_state()
    yield
    assert global_state() == before


@pytest.fixture
def float64():
    """DeepXDE in double precision for one test."""
    dde.config.set_default_float("float64")
    yield
    dde.config.set_default_float("float32")


@pytest.fixture
def mixed_precision():
    """DeepXDE in mixed precision for one test."""
    dde.config.set_default_float("mixed")
    yield
    dde.config.mixed = False
    dde.config.set_default_float("float32")


@pytest.fixture
def forward_autodiff():
    """Derivatives of the network by forward-mode differentiation for one test."""
    dde.config.set_default_autodiff("forward")
    yield
    dde.config.set_default_autodiff("reverse")


@pytest.fixture
def optimizer_options():
    """DeepXDE's options of L-BFGS and NNCG, as `.lbfgs` and `.nncg`, to be changed in one test."""
    options = SimpleNamespace(lbfgs=dde.optimizers.LBFGS_options, nncg=dde.optimizers.NNCG_options)
    before = [dict(options.lbfgs), dict(options.nncg)]
    yield options
    for changed, original in zip((options.lbfgs, options.nncg), before, strict=True):
        changed.clear()
        changed.update(original)


@pytest.fixture
def large_problem(monkeypatch):
    """A small problem takes the engine that a large one takes by default, the one-pass engine."""
    monkeypatch.setattr(choose, "FEW_POINTS", 0)


@pytest.fixture
def compilations(monkeypatch):
    """Traced, but interpreted instead of compiled, which takes long; lists the compiled graphs."""
    graphs = []

    def take(traced):
        graphs.append(traced.graph)
        return traced.graph

    for module in (compiled, fastest):
        monkeypatch.setattr(module, "compile_graph", take)
    return graphs


@pytest.fixture
def compiling_pays(monkeypatch):
    """The engine "fastest" compiles at once, whatever an iteration and a compilation take."""
    monkeypatch.setattr(pay_off.PayOff, "pays", lambda self, left, *_: left > 0)
    monkeypatch.setattr(pay_off.PayOff, "saving", 0.5)


@pytest.fixture
def points_may_change_often(monkeypatch):
    """The compiled engine follows new points however often they come; its limits are as if off."""
    monkeypatch.setattr(limits, "FEWEST_EVALUATIONS", 0)
