"""Which engine a problem is given."""

import deepxde as dde
import pytest
import torch
from _support import features, scripts
from _support.engines import with_batch_norm

import deepxde_balance as ddb


class OwnLosses(dde.data.TimePDE):
    def losses(self, *args, **kwargs):
        return super().losses(*args, **kwargs)


def with_dropout():
    net = scripts.network()
    net.dropout = torch.nn.Dropout(0.1)
    net.apply_feature_transform(net.dropout)
    return scripts.klein_gordon(), net


def with_own_losses():
    data = OwnLosses(
        features.STRIP, features.heat, [dde.icbc.IC(features.STRIP, features.wave, features.on)],
        10, 5, 5,
    )  # fmt: skip
    return data, scripts.network()


@pytest.mark.parametrize(
    "make, why",
    [
        (with_batch_norm, "BatchNorm1d does not act point by point"),
        (with_dropout, "Dropout does not act point by point"),
        (with_own_losses, "OwnLosses has `losses` of its own"),
    ],
)
def test_what_cannot_hold_is_recognised_without_computing(make, why, float64):
    model = ddb.Model(*make())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    assert model.gradient_engine == "per-group"
    model.train(iterations=2, verbose=0)
    with pytest.raises(ValueError, match=f"'one-pass' can't be used here: {why}"):
        model.compile("adam", loss_weights="gw-std", gradient_engine="one-pass", verbose=0)


@pytest.mark.parametrize("weights", ["gw-std", None])
@pytest.mark.parametrize("points, engine", [(299, "per-group"), (300, "one-pass")])
def test_few_points_take_the_per_group_engine(points, engine, weights):
    model = ddb.Model(scripts.klein_gordon(num_domain=points - 51), scripts.network())
    assert len(model.data.train_x) == points
    model.compile("adam", lr=1e-2, loss_weights=weights, verbose=0)
    assert model.gradient_engine == engine
    model.train(iterations=1, verbose=0)
    assert model.gradient_engine == engine


@pytest.mark.parametrize("points, engine", [(299, "one-pass"), (300, "per-group")])
def test_an_engine_that_is_given_is_taken_with_any_number_of_points(points, engine):
    model = ddb.Model(scripts.klein_gordon(num_domain=points - 51), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", gradient_engine=engine, verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.gradient_engine == engine


def test_keep_takes_another_engine(large_problem):
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", verbose=0)
    model.train(iterations=1, verbose=0)
    assert model.gradient_engine == "one-pass"
    model.compile("adam", lr=1e-2, loss_weights="keep", gradient_engine="per-group", verbose=0)
    assert model.gradient_engine == "per-group"


def test_an_unknown_engine():
    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    with pytest.raises(ValueError, match=r"gradient_engine 'onepass'. Did you mean 'one-pass'"):
        model.compile("adam", lr=1e-3, gradient_engine="onepass", verbose=0)  # type: ignore[arg-type]  # refused
