"""Checkpoints of runs with optimizer objects: a restored run is the unbroken one."""

from collections import deque
from typing import Any

import pytest
import torch
from _support.resumed import assert_same, broken_and_unbroken, resampler, strategy
from _support.scripts import klein_gordon, network
from pytorch_optimizer import SOAP

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


def by_dimension(net):
    parameters = list(net.parameters())
    return [
        {"params": [p for p in parameters if p.dim() == 2], "lr": 1e-3},
        {"params": [p for p in parameters if p.dim() == 1], "lr": 1e-2},
    ]


OPTIMIZERS: dict[str, Any] = {
    "soap": lambda net: SOAP(net.parameters(), lr=3e-3),
    # Entries that are None, empty lists and matrices; the bases change in every other iteration.
    "soap, in groups": lambda net: SOAP(
        by_dimension(net), precondition_1d=True, precondition_frequency=2, max_precondition_dim=6
    ),
    "adamw": lambda net: torch.optim.AdamW(net.parameters(), lr=1e-3, amsgrad=True),
    "adam, in groups": lambda net: torch.optim.Adam(by_dimension(net)),
    "rmsprop": lambda net: torch.optim.RMSprop(net.parameters(), lr=1e-3, centered=True),
    "nadam": lambda net: torch.optim.NAdam(net.parameters(), lr=1e-3),
    "adagrad": lambda net: torch.optim.Adagrad(net.parameters(), lr=1e-2),
    "l-bfgs": lambda net: torch.optim.LBFGS(
        net.parameters(), max_iter=4, line_search_fn="strong_wolfe"
    ),
    "sgd": lambda net: torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, nesterov=True),
    "a part of the network": lambda net: SOAP(net.linears[1].parameters(), lr=3e-3),
}


def compiled(make, weights="db-kurtosis", **arguments):
    model = ddb.Model(klein_gordon(), network())
    model.compile(
        make(model.net), loss_weights=weights, decay=("step", 7, 0.5), verbose=0, **arguments
    )
    return model


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_resumed_is_unbroken(name, tmp_path):
    make = lambda: compiled(OPTIMIZERS[name], strategy("db-kurtosis"))  # noqa: E731
    assert_same(*broken_and_unbroken(make, resampler, tmp_path))


@pytest.mark.parametrize("point_weights", ["rba", "brdr", "sa"])
@pytest.mark.parametrize("weights", ["equal", "db-mean", "ntk"])
def test_soap_with_point_weights_resumed_is_unbroken(weights, point_weights, tmp_path):
    make = lambda: compiled(  # noqa: E731
        OPTIMIZERS["soap"],
        weights if weights == "equal" else strategy(weights),
        point_weights=point_weights,
    )
    assert_same(*broken_and_unbroken(make, resampler, tmp_path))


@pytest.mark.parametrize("name", ["soap", "adamw", "nadam"])
def test_weights_that_the_same_optimizer_learns(name, tmp_path):
    """SOAP counts its steps in its group of parameters, not in their states."""
    make = lambda: compiled(OPTIMIZERS[name], strategy("uw"))  # noqa: E731
    assert_same(*broken_and_unbroken(make, resampler, tmp_path))


def test_another_class(tmp_path):
    model = compiled(OPTIMIZERS["adamw"])
    model.train(iterations=1, verbose=0)
    path = model.save(str(tmp_path / "run"))
    with pytest.raises(ddb.CheckpointError, match="optimizer is AdamW, the model's SOAP"):
        compiled(OPTIMIZERS["soap"]).restore(path)


@pytest.mark.parametrize("kind", [SOAP, torch.optim.Adam])
def test_the_learning_rate_is_the_saved_one(kind, tmp_path):
    model = compiled(lambda net: kind(net.parameters(), lr=1e-3))
    model.train(iterations=1, verbose=0)
    path = model.save(str(tmp_path / "run"))
    other = compiled(lambda net: kind(net.parameters(), lr=0.5))
    other.restore(path)
    assert other.opt.param_groups[0]["lr"] == 1e-3


class WithDeque(torch.optim.SGD):
    """Has a state that `torch.load(weights_only=True)` refuses."""

    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            self.state[p]["last"] = deque([p.grad])


def test_a_state_that_could_not_be_read_is_not_written(tmp_path):
    model = compiled(lambda net: WithDeque(net.parameters(), lr=1e-3))
    path = model.save(str(tmp_path / "run"))
    older = (tmp_path / "run-0.pt").read_bytes()
    model.train(iterations=1, verbose=0)
    model.train_state.iteration = 0
    with pytest.raises(TypeError, match="state of the optimizer WithDeque can't be saved"):
        model.save(str(tmp_path / "run"))
    assert [p.name for p in tmp_path.iterdir()] == ["run-0.pt"]
    assert (tmp_path / "run-0.pt").read_bytes() == older
    compiled(lambda net: WithDeque(net.parameters(), lr=1e-3)).restore(path)
