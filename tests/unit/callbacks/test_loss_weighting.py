"""LossWeighting on a stock dde.Model (its numbers are in test_algorithms), and Progress."""

import deepxde as dde
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem")


def stock(**compile_args):
    model = dde.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, verbose=0, **compile_args)
    return model


def test_the_model_is_as_it_was_afterwards():
    model = stock()
    step = model.train_step
    model.train(iterations=2, verbose=0, callbacks=[ddb.LossWeighting("db-std")])
    assert model.train_step is step


def test_a_second_training_goes_on(float64):
    """Two trainings of 7 iterations, with an update in the middle, are one of 14."""
    whole, halves = stock(), stock()
    callback = ddb.LossWeighting(ddb.DB("std", update_every=5))
    whole.train(
        iterations=14, verbose=0, callbacks=[ddb.LossWeighting(ddb.DB("std", update_every=5))]
    )
    halves.train(iterations=7, verbose=0, callbacks=[callback])
    halves.train(iterations=7, verbose=0, callbacks=[callback])
    torch.testing.assert_close(scripts.parameters_of(halves), scripts.parameters_of(whole))
    assert callback.weights == whole.losshistory.loss_weights[-1]


def test_keep_freezes_the_last_recorded_weights(float64):
    model = stock()
    callback = ddb.LossWeighting("db-std")
    model.train(iterations=3, verbose=0, callbacks=[callback])
    kept = callback.weights
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=3, verbose=0, callbacks=[ddb.LossWeighting("keep")])
    assert model.losshistory.loss_weights[-1] == kept
    assert kept["bc0"] != 1


def test_keep_refuses_conditions_in_another_order():
    model = stock()
    model.train(iterations=1, verbose=0, callbacks=[ddb.LossWeighting("db-std")])
    model.data.bcs.reverse()
    model.data.resample_train_points()
    model.compile("adam", lr=1e-3, verbose=0)
    with pytest.raises(ValueError, match="phase before, which had the loss terms pde, bc0"):
        model.train(iterations=1, verbose=0, callbacks=[ddb.LossWeighting("keep")])


def test_keep_keeps_static_factors_and_groups(float64):
    """The same parameters as with ddb.Model's keep."""
    weighting = ddb.DB("mean", scale={"bc": 100.0})
    groups = {"bc": [0], "ic": [1, 2]}
    model = stock()
    model.train(iterations=3, verbose=0, callbacks=[ddb.LossWeighting(weighting, groups)])
    model.compile("adam", lr=1e-3, verbose=0)
    model.train(iterations=3, verbose=0, callbacks=[ddb.LossWeighting("keep")])
    ours = ddb.Model(scripts.klein_gordon(), scripts.network())
    ours.compile("adam", lr=1e-2, loss_weights=weighting, loss_groups=groups, verbose=0)
    ours.train(iterations=3, verbose=0)
    ours.compile("adam", lr=1e-3, loss_weights="keep", verbose=0)
    ours.train(iterations=3, verbose=0)
    torch.testing.assert_close(scripts.parameters_of(model), scripts.parameters_of(ours))


def test_another_compile_goes_on_with_the_weights(float64):
    """Weights and schedule continue under the new optimizer and the new loss function."""
    model = stock()
    callback = ddb.LossWeighting(ddb.DB("std", update_every=5))
    model.train(iterations=3, verbose=0, callbacks=[callback])
    before = callback.weights
    model.compile("adam", lr=1e-3, loss="MAE", verbose=0)
    model.train(iterations=2, verbose=0, callbacks=[callback])
    assert callback.weights == before  # the next update is due at iteration 5
    assert model.losshistory.loss_weights[-1] == before
    model.train(iterations=1, verbose=0, callbacks=[callback])
    assert callback.weights != before


def test_the_history_is_as_long_as_the_steps():
    model = stock()
    model.train(iterations=4, display_every=2, verbose=0)
    model.train(iterations=4, display_every=2, verbose=0, callbacks=[ddb.LossWeighting("gw-std")])
    history = model.losshistory
    assert len(history.loss_weights) == len(history.steps) == 6
    assert [w["bc0"] == 1 for w in history.loss_weights] == [True] * 4 + [False] * 2


def test_the_callers_object_is_copied():
    weighting = ddb.DB("std")
    stock().train(iterations=2, verbose=0, callbacks=[ddb.LossWeighting(weighting)])
    assert weighting.iteration == 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ("x", [ddb.LossWeighting("gw-std"), ddb.LossWeighting("dn")]), "Another LossW"),
        (lambda: ("x", [ddb.LossWeighting("keep")]), "train it with a strategy first"),
        (lambda: ("x", [ddb.LossWeighting("dn", {"bc": [0]})]), "no group for ic1, ic2"),
        (lambda: ("weights", [ddb.LossWeighting("dn")]), "compile it without"),
        (lambda: ("ddb", [ddb.LossWeighting("dn")]), "compile.loss_weights=...."),
    ],
)
def test_bad_input(make, message):
    which, callbacks = make()
    if which == "ddb":
        model = ddb.Model(scripts.klein_gordon(), scripts.network())
        model.compile("adam", lr=1e-3, verbose=0)
    else:
        model = stock(loss_weights=[1, 2, 3, 4] if which == "weights" else None)
    with pytest.raises(ValueError, match=message):
        model.train(iterations=1, verbose=0, callbacks=callbacks)


def test_an_unknown_name_fails_at_construction():
    with pytest.raises(ValueError, match="Did you mean"):
        ddb.LossWeighting("db-meen")  # type: ignore[arg-type]  # refused


def test_progress_counts_the_iterations(capsys):
    model = stock()
    model.train(iterations=7, verbose=0, callbacks=[ddb.Progress(7, "training")])
    assert "training: 100%" in capsys.readouterr().err


def test_one_callback_on_two_models_leaves_the_first_models_weights():
    first, second = (dde.Model(scripts.klein_gordon(), scripts.network()) for _ in range(2))
    callback = ddb.LossWeighting("gw-std")
    for model in (first, second):
        model.compile("adam", lr=1e-2, verbose=0)
        model.train(iterations=3, callbacks=[callback], verbose=0)
        if model is first:
            weights = callback.weights
            for parameter in second.net.parameters():
                parameter.data *= 1.5
    assert callback.weights != weights
    kept = ddb.LossWeighting("keep")
    first.train(iterations=1, callbacks=[kept], verbose=0)
    assert kept.weights == weights
