"""Optimizer objects that do not train what the model needs: an error, or a warning, at compile."""

import warnings
from typing import Any

import deepxde as dde
import pytest
import torch
from _support.scripts import klein_gordon, network, parameters_of
from deepxde.optimizers.pytorch.nncg import NNCG

import deepxde_balance as ddb


def compiled(make, net=None, weights="db-mean", **arguments):
    model = ddb.Model(klein_gordon(), net or network())
    model.compile(make(model.net), loss_weights=weights, verbose=0, **arguments)
    return model


def adam(net):
    return torch.optim.Adam(net.parameters(), lr=1e-3)


@pytest.mark.parametrize("few_points", [True, False])
@pytest.mark.parametrize("weights", [None, "equal", [1, 2, 3, 4], "auto"])
def test_another_networks_parameters_are_refused(weights, few_points, request):
    if not few_points:
        request.getfixturevalue("large_problem")
    other = network(seed=3)
    model = compiled(adam)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"Adam\(\.\.\.\) has none of the 6 parameters"):
        model.compile(adam(other), loss_weights=weights, verbose=0)
    assert vars(model).keys() == before.keys()
    assert model.opt is before["opt"]


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("weights", [None, "dn"])
def test_nncg_and_a_frozen_layer(weights, by_name):
    """It takes the gradient of each parameter, and PyTorch has none of a frozen one."""
    net = network()
    net.linears[0].requires_grad_(False)
    model = ddb.Model(klein_gordon(), net)
    optimizer: Any = "NNCG" if by_name else NNCG(net.parameters())
    with pytest.raises(ValueError, match=r"optimizer=NNCG .* 6 parameters, 2 of which are frozen"):
        model.compile(optimizer, loss_weights=weights, verbose=0)
    assert model.opt is None


def test_a_stock_model_is_refused_when_training_begins():
    model = dde.Model(klein_gordon(), network())
    model.compile(adam(network()), verbose=0)
    with pytest.raises(ValueError, match="none of the 6 parameters"):
        model.train(iterations=1, callbacks=[ddb.LossWeighting("db-mean")], verbose=0)


def test_unknowns_alone_may_be_trained(large_problem):
    c = dde.Variable(1.0)

    def pde(x, u):
        return dde.grad.hessian(u, x, i=1, j=1) - c * u

    net = network()
    before = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    model = ddb.Model(klein_gordon(pde=pde), net)
    model.compile(torch.optim.Adam([c], lr=1e-2), verbose=0)
    model.train(iterations=1, verbose=0)
    assert c.item() == pytest.approx(1.0, abs=0.0101)
    assert c.item() != 1.0
    assert torch.equal(parameters_of(model), before)


def test_left_out_unknowns():
    one, other = dde.Variable(1.0), dde.Variable(2.0)
    make = lambda net: torch.optim.Adam([*net.parameters(), other], lr=1e-3)  # noqa: E731
    with pytest.warns(UserWarning, match="does not have 1 of the 2 external_trainable_variables"):
        compiled(make, external_trainable_variables=[one, other])
    with pytest.warns(UserWarning, match="does not have 1 of the 1 external_trainable_variables"):
        compiled(adam, external_trainable_variables=one)


def test_a_learning_rate_beside_the_object():
    with pytest.warns(UserWarning, match=r"lr=0\.01 is not applied.*Make Adam with lr=0\.01"):
        compiled(adam, lr=1e-2)


def test_a_regularization_that_is_not_applied():
    net = network(regularization=["l2", 1e-4])
    with pytest.warns(UserWarning, match="L2 regularization 0.0001 is not applied.*weight_decay"):
        compiled(adam, net)


def test_no_warning_where_all_is_given():
    net, c = network(regularization=["l2", 1e-4]), dde.Variable(1.0)
    of_net: dict[str, Any] = {"params": list(net.parameters()), "weight_decay": 1e-4}
    given = torch.optim.Adam([of_net, {"params": [c]}], lr=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled(lambda _: given, net, external_trainable_variables=c, lr=1e-3)
