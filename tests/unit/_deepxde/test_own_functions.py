"""A copy of a model trains, records and predicts by itself."""

import copy

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")

POINTS = np.random.default_rng(0).random((5, 2)).astype(np.float32)


@pytest.mark.parametrize("engine", ["one-pass", "per-group"])
@pytest.mark.parametrize("weights", ["gw-std", None])
def test_a_copy_goes_on_as_the_model_does(engine, weights):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights=weights, gradient_engine=engine, verbose=0)
    model.train(iterations=3, verbose=0)
    before, predicted = scripts.parameters_of(model).clone(), model.predict(POINTS)
    copied = copy.deepcopy(model)
    copied.train(iterations=4, display_every=2, verbose=0)
    assert torch.equal(scripts.parameters_of(model), before)
    assert np.array_equal(model.predict(POINTS), predicted)
    assert not np.array_equal(copied.predict(POINTS), predicted)
    model.train(iterations=4, display_every=2, verbose=0)
    assert torch.equal(scripts.parameters_of(copied), scripts.parameters_of(model))
    assert np.array_equal(copied.losshistory.loss_train, model.losshistory.loss_train)
    assert np.array_equal(copied.predict(POINTS), model.predict(POINTS))


def test_variables_that_a_copy_does_not_train_are_told():
    variable = dde.Variable(1.0)
    data = scripts.klein_gordon(pde=lambda x, u: scripts.klein_gordon_residual(x, u) + variable * u)
    model = ddb.Model(data, scripts.network())
    model.compile("adam", lr=1e-2, external_trainable_variables=variable, verbose=0)
    with pytest.warns(UserWarning, match="those of the copy are not trained"):
        copy.deepcopy(model)
