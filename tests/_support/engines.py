"""Models of the scripts in `features` on one engine or another, and how they are compared."""

import deepxde as dde
import torch

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance.training.step import TrainStep

from . import scripts
from .features import FEATURES, FORWARD


def build(feature, model_class=ddb.Model, **compile_args):
    """The model of a script, with seeded points and parameters, and its callbacks."""
    dde.config.set_random_seed(11)
    script = (FEATURES | FORWARD)[feature]()
    model = model_class(script.data, script.net)
    if model_class is ddb.Model and compile_args.get("loss_weights") is not None:
        compile_args["loss_groups"] = script.loss_groups
    args = {"optimizer": "adam", "lr": 1e-2} | script.compile | compile_args
    model.compile(verbose=0, **args)
    dde.config.set_random_seed(12)
    return model, script


def weighting_for(feature):
    """Updated every third iteration, so that both kinds of iteration are compared."""
    if feature == "hard_constraints":
        return "equal"
    return ddb.GW("std", alpha=0.5, update_every=3)


def variables_of(model):
    variables = [v.detach().reshape(-1) for v in model.external_trainable_variables]
    return torch.cat([scripts.parameters_of(model), *variables])


def assert_same_gradients(one, per, rtol=1e-10):
    batch = Batch(*one.data.train_next_batch())
    for model in (one, per):
        if not isinstance(model.train_step, TrainStep):  # `equal` finds its terms in the first
            model.train(iterations=1, verbose=0)
    a, b = (model.train_step.engine.gradients(batch) for model in (one, per))
    for x, y in (
        (a.losses, b.losses),
        (a.values, b.values),
        (torch.stack(one.train_step.engine.losses(batch)), b.losses),
    ):
        for row_x, row_y in zip(x, y, strict=True):  # each row by its own size
            largest = float(row_y.abs().max())
            torch.testing.assert_close(row_x, row_y, rtol=rtol, atol=rtol * largest)
    assert a.reached == b.reached
    assert (a.used is None) == (b.used is None)
    if a.used is not None:
        assert torch.equal(a.used, b.used)


def past_the_attributes():
    """A network that reads a parameter past the module's own attributes."""
    net = scripts.network()
    hidden = [net.linears[0].weight]
    net.apply_output_transform(lambda x, u: u + 0.1 * hidden[0].sum() * x[:, 0:1])
    return scripts.klein_gordon(), net


def with_batch_norm():
    net = scripts.network()
    net.bn = torch.nn.BatchNorm1d(2)
    net.apply_feature_transform(net.bn)
    return scripts.klein_gordon(), net


def trained(feature, weights, engine, iterations=7, **kwargs):
    model, script = build(feature, loss_weights=weights, gradient_engine=engine, **kwargs)
    model.train(iterations=iterations, display_every=4, callbacks=script.callbacks, verbose=0)
    return model


def assert_same_parameters(one, other, tolerance=1e-10):
    torch.testing.assert_close(
        variables_of(one), variables_of(other), rtol=tolerance, atol=tolerance
    )
