"""DeepXDE's documented scripts with their two lines changed.

Under `equal` they give stock DeepXDE's numbers; under strategies they train, and go on from a
checkpoint to the last bit.
"""

import os

import deepxde as dde
import numpy as np
import pytest
import torch
from _support.documented import DOCUMENTED, compiled, train, train_on, written
from _support.engines import variables_of
from _support.features import FEATURES
from _support.resumed import StopAt, assert_same, everything

import deepxde_balance as ddb

STRATEGIES = ("auto", "db-kurtosis", "sa")
ITERATIONS, STOP = 10, 6

#: What DeepXDE's examples do, `features` among it where the documented scripts have none.
SCRIPTS = [*DOCUMENTED, "interface", "auxiliary_variables", "batches_of_data"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning"),
    # Of strategies, on problems that are chosen for DeepXDE's features and not for them:
    pytest.mark.filterwarnings("ignore:.*nothing to balance between conditions:UserWarning"),
    pytest.mark.filterwarnings("ignore:The weight of 'bc0' was left as it was:UserWarning"),
    pytest.mark.filterwarnings("ignore:The checkpoint's training points:UserWarning"),  # anchors
]


@pytest.fixture(autouse=True)
def _precision(request):
    if request.node.callspec.params["name"] == "poisson_lshape":
        request.getfixturevalue("float64")


@pytest.fixture(autouse=True)
def _few_lbfgs_iterations(optimizer_options):
    optimizer_options.lbfgs.update(maxiter=6, iter_per_step=3)


def run(name, loss_weights=None):
    """The whole script with the class that `dde.Model` is now."""
    script = written(name)
    model = compiled(script, dde.Model, loss_weights)
    dde.config.set_random_seed(7)
    train(model, script, ITERATIONS)
    train_on(model, script, loss_weights)
    return model


def stock_and_ours(name, monkeypatch):
    stock = run(name)
    monkeypatch.setattr(dde, "Model", ddb.Model)  # once, at the top of the script
    return stock, run(name, "equal")


def records(name, model):
    """The loss history by entry.

    The test losses of resampled conditions are left out: DeepXDE computes them from old points
    (issue 2073).
    """
    entries = ["steps", "loss_train", "loss_test", "metrics_test"]
    if name == "batches_of_data":
        entries.remove("loss_test")
    return {entry: getattr(model.losshistory, entry) for entry in entries}


@pytest.mark.parametrize("name", SCRIPTS)
def test_equal_is_stock_deepxde_to_the_last_bit(name, monkeypatch):
    stock, ours = stock_and_ours(name, monkeypatch)
    assert type(ours) is ddb.Model
    assert torch.equal(variables_of(ours), variables_of(stock))
    expected = records(name, stock)
    for entry, values in records(name, ours).items():
        np.testing.assert_array_equal(values, expected[entry])


@pytest.mark.parametrize("name", SCRIPTS)
def test_equal_is_stock_deepxde_to_rounding_in_one_pass(name, monkeypatch, float64, large_problem):
    stock, ours = stock_and_ours(name, monkeypatch)
    torch.testing.assert_close(variables_of(ours), variables_of(stock), rtol=1e-10, atol=1e-11)
    expected = records(name, stock)
    for entry, values in records(name, ours).items():
        np.testing.assert_allclose(values, expected[entry], rtol=1e-8, atol=1e-12)


def started(name, strategy):
    """A script with the two lines changed, before its `train`."""
    script = written(name)
    return compiled(script, ddb.Model, strategy), script


def assert_trains_and_resumes(name, strategy, folder):
    """Trained through, and stopped after a checkpoint and taken up by a fresh model: the same."""
    unbroken, script = started(name, strategy)
    dde.config.set_random_seed(7)
    train(unbroken, script, ITERATIONS)
    train_on(unbroken, script, "keep")
    expected = everything(unbroken)
    assert np.isfinite(unbroken.losshistory.loss_train).all()
    assert variables_of(unbroken).isfinite().all()
    assert unbroken.weights and np.isfinite(list(unbroken.weights.values())).all()

    first, script = started(name, strategy)
    dde.config.set_random_seed(7)
    saving = dde.callbacks.ModelCheckpoint(os.path.join(folder, "run"), period=STOP)
    train(first, script, ITERATIONS, [saving, StopAt(STOP + 1)])

    resumed, script = started(name, strategy)
    dde.config.set_random_seed(99)  # another process
    resumed.restore(ddb.last_checkpoint(os.path.join(folder, "run")))
    train(resumed, script, ITERATIONS - STOP)
    train_on(resumed, script, "keep")
    assert_same(everything(resumed), expected)


@pytest.mark.parametrize(
    "name, strategy", [(name, STRATEGIES[i % 3]) for i, name in enumerate(SCRIPTS)]
)
def test_a_strategy_trains_and_resumes(name, strategy, tmp_path):
    refused = written(name).refused
    if strategy in refused:
        with pytest.raises(ValueError, match=refused[strategy]):
            started(name, strategy)
    else:
        assert_trains_and_resumes(name, strategy, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", [*DOCUMENTED, *FEATURES])
def test_every_strategy_trains_and_resumes(name, strategy, tmp_path):
    test_a_strategy_trains_and_resumes(name, strategy, tmp_path)
