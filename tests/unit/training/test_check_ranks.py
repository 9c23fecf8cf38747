import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.engines import with_batch_norm
from _support.processes import on_ranks

import deepxde_balance as ddb


def messages(size, folder, *attempts, kind=ValueError):
    """The message of the error that each attempt ends with, the same on every rank."""

    def try_all(ranks):
        found = []
        for attempt in attempts:
            with pytest.raises(kind) as error:
                attempt(ranks)
            found.append(str(error.value))
        return found

    first, *others = on_ranks(size, folder, try_all)
    assert all(other == first for other in others)
    return first


def compile_(data=None, net=None, optimizer="adam", lr=1e-3, **kwargs):
    model = ddb.Model(data or scripts.klein_gordon(), net or scripts.network())
    model.compile(optimizer, lr=lr, verbose=0, **kwargs)
    return model


def test_what_differs_between_the_ranks_is_named(tmp_path):
    def points(ranks):
        data = scripts.klein_gordon(num_domain=40 + ranks.rank)
        compile_(data, loss_weights="dn")

    def parameters(ranks):
        compile_(net=scripts.network(seed=ranks.rank))

    def seed(ranks):
        model = compile_()
        dde.config.set_random_seed(ranks.rank)
        model.train(iterations=1, verbose=0)

    def strategy(ranks):
        compile_(loss_weights=ddb.DN(beta=0.5 + 0.1 * ranks.rank))

    def rate(ranks):
        compile_(lr=1e-3 * (1 + ranks.rank))

    def iterations(ranks):
        compile_().train(iterations=1 + ranks.rank, verbose=0)

    def callbacks(ranks):
        resample = [dde.callbacks.PDEPointResampler(period=1)] if ranks.is_first else []
        compile_().train(iterations=1, callbacks=resample, verbose=0)

    def during_training(ranks):
        model = compile_(loss_weights="dn")
        change = dde.callbacks.Callback()
        change.on_batch_end = lambda: model.net.linears[0].weight.data.add_(ranks.rank)
        model.train(iterations=1, callbacks=[change], verbose=0)

    attempts = (
        points,
        parameters,
        seed,
        strategy,
        rate,
        iterations,
        callbacks,
        during_training,
    )
    told = messages(2, tmp_path, *attempts, kind=ddb.RanksError)
    expected = (
        "the training points: checksum",
        "the parameters: checksum",
        "the random numbers: checksum",
        "the strategy: Norm(p=2.0)",
        "the optimizer: Adam [",
        "the number of iterations: 1 on rank 0, 2 on rank 1",
        "the callbacks: PDEPointResampler on rank 0, none on rank 1",
        "the parameters: checksum",
    )
    for message, name in zip(told, expected, strict=True):
        assert f"The ranks differ in {name}" in message
        assert "on every rank" in message


def test_callbacks_that_only_look_may_be_on_one_rank(tmp_path):
    def train(ranks):
        value = dde.Variable(1.0)
        look = [dde.callbacks.VariableValue(value, period=1)] if ranks.is_first else []
        compile_().train(iterations=1, callbacks=look, verbose=0)
        return True

    assert on_ranks(2, tmp_path, train) == [True, True]


@pytest.mark.parametrize("weights", [None, "dn"])
def test_a_model_that_was_compiled_before_is_refused(weights, tmp_path):
    model = compile_(loss_weights=weights)
    (message,) = messages(
        2, tmp_path, lambda ranks: model.train(iterations=1, verbose=0), kind=RuntimeError
    )
    assert "compiled before ddb.distributed()" in message


def test_what_can_not_be_shared_is_refused_by_name(tmp_path):
    def batch_norm(ranks):
        compile_(*with_batch_norm())

    def nncg(ranks):
        compile_(optimizer="NNCG")

    def function(ranks):
        data = dde.data.Function(dde.geometry.Interval(0, 1), lambda x: x**2, 10, 10)
        compile_(data, scripts.network((1, 8, 1)))

    def no_mean(ranks):
        data = scripts.klein_gordon()
        largest = lambda true, predicted: (true - predicted).abs().max()  # noqa: E731
        compile_(data, loss=["MSE", "MSE", largest, "MSE"])

    def timer(ranks):
        timer = dde.callbacks.Timer(1)
        compile_(loss_weights="dn").train(iterations=1, callbacks=[timer], verbose=0)

    told = messages(2, tmp_path, batch_norm, nncg, function, no_mean, timer)
    for message, name in zip(
        told,
        ("BatchNorm1d does", "NNCG", "Function is no dde.data.PDE", "loss of ic1 can't", "Timer"),
        strict=True,
    ):
        assert name in message


def test_fewer_residual_points_than_ranks_are_refused(tmp_path):
    def few(ranks):
        geom = dde.geometry.Interval(0, 1)
        bc = dde.icbc.DirichletBC(geom, lambda x: 0, lambda _, on: on)
        points = np.array([[0.3]])
        data = dde.data.PDE(geom, lambda x, u: dde.grad.jacobian(u, x), [bc], 0, 1, anchors=points)
        compile_(data, scripts.network((1, 8, 1)))

    (message,) = messages(3, tmp_path, few)
    assert "there are 2 residual points, fewer than ranks" in message


def test_a_refused_compile_changes_nothing(tmp_path):
    def compile_twice(ranks):
        model = compile_(loss_weights="dn")
        step = model.train_step
        with pytest.raises(ddb.RanksError):
            model.compile("sgd", lr=1e-3 * (1 + ranks.rank), verbose=0)
        assert model.train_step is step and isinstance(model.opt, torch.optim.Adam)
        model.train(iterations=1, verbose=0)
        return True

    assert on_ranks(2, tmp_path, compile_twice) == [True, True]
