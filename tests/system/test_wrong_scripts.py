"""PDEs, conditions and callbacks that return or do the wrong thing, under every strategy.

What comes is an error in words, a training with finite numbers, or, where a script breaks
DeepXDE's own evaluation, the error of stock DeepXDE.
"""

import os
import tempfile
import warnings

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.wrong_input import assert_finite, cases, is_told
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import deepxde_balance as ddb

SQUARE = dde.geometry.Rectangle([0, 0], [1, 1])
STRATEGIES = st.sampled_from([name for name in ddb.weightings.names() if name != "keep"])
laplace = scripts.laplace_residual

RESIDUALS = {
    "None": lambda x, u: None,
    "a number": lambda x, u: 1.0,
    "no residual": lambda x, u: [],
    "an array": lambda x, u: u.detach().numpy(),
    "a constant": lambda x, u: torch.ones_like(u),
    "detached": lambda x, u: laplace(x, u).detach(),
    "one number": lambda x, u: laplace(x, u).mean(),
    "too short": lambda x, u: laplace(x, u)[:3],
    "too long": lambda x, u: torch.cat([laplace(x, u)] * 2),
    "of one dimension": lambda x, u: laplace(x, u)[:, 0],
    "wide": lambda x, u: torch.cat([laplace(x, u), u], dim=1),
    "nested": lambda x, u: [[laplace(x, u)], u],
    "a list with None": lambda x, u: [laplace(x, u), None],
    "text": lambda x, u: "residual",
    "integers": lambda x, u: torch.ones(len(x), 1, dtype=torch.int64),
    "truth values": lambda x, u: u > 0,
    "half": lambda x, u: laplace(x, u).half(),
    "double": lambda x, u: laplace(x, u).double(),
    "complex": lambda x, u: laplace(x, u) * 1j,
    "a mapping": lambda x, u: {"a": laplace(x, u)},
    "a generator": lambda x, u: (r for r in [laplace(x, u)]),
    "four arguments": lambda x, u, a, b: u,
    "no network": lambda x, u: x[:, :1],
}


def condition(value, holds=lambda _, on: on, **kwargs):
    return lambda: dde.icbc.DirichletBC(SQUARE, value, holds, **kwargs)


def operator(of):
    return lambda: dde.icbc.OperatorBC(SQUARE, of, lambda _, on: on)


def points(number, values=None, dtype=np.float32):
    values = number if values is None else values
    return lambda: dde.icbc.PointSetBC(np.ones((number, 2), dtype), np.ones((values, 1), dtype))


CONDITIONS = {
    "nowhere": condition(lambda x: x[:, :1], lambda _, on: False),
    "everywhere": condition(lambda x: x[:, :1], lambda _, on: True),
    "value None": condition(lambda x: None),
    "value of one dimension": condition(lambda x: x[:, 0]),
    "value too wide": condition(lambda x: x),
    "value too short": condition(lambda x: x[:2, :1]),
    "no such component": condition(lambda x: x[:, :1], component=3),
    "operator None": operator(lambda x, u, _: None),
    "operator a number": operator(lambda x, u, _: 3.0),
    "operator a mean": operator(lambda x, u, _: u.mean()),
    "operator integers": operator(lambda x, u, _: (u > 0).long()),
    "half points": points(4, dtype=np.float16),
    "double points": points(4, dtype=np.float64),
    "no points": points(0),
    "more values than points": points(3, 4),
}


def problem(residual=laplace, conditions=()):
    dde.config.set_random_seed(1)
    on_boundary = condition(lambda x: x[:, :1])()
    return dde.data.PDE(SQUARE, residual, [*(c() for c in conditions), on_boundary], 8, 8)


def trained(model_class, data, callbacks=(), **compile_args):
    model = model_class(data, scripts.network((2, 4, 1)))
    model.compile("adam", lr=1e-3, verbose=0, **compile_args)
    model.train(iterations=5, display_every=2, callbacks=list(callbacks), verbose=0)
    return model


def error_of(call, *args, **kwargs):
    """The error of a call; ``None`` if it ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call(*args, **kwargs)
        except Exception as error:
            return error
    return None


@given(
    st.sampled_from(sorted(RESIDUALS)),
    st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=1),
    STRATEGIES,
)
@cases()
def test_residuals_and_conditions(residual, conditions, strategy):
    """With a strategy the error is always in words, for `compile` looks at the losses."""
    if strategy == "equal":
        return
    data = problem(RESIDUALS[residual], [CONDITIONS[name] for name in conditions])
    model = ddb.Model(data, scripts.network((2, 4, 1)))
    error = error_of(model.compile, "adam", lr=1e-3, loss_weights=strategy, verbose=0)
    assert error is None or is_told(error), repr(error)
    if error is None:
        error = error_of(model.train, iterations=3, display_every=1, verbose=0)
        assert error is None or is_told(error), repr(error)
        if error is None:
            assert_finite(model)


TOLD = {
    "None": (TypeError, "Residual 0 of the PDE is None: give a tensor of real numbers"),
    "a list with None": (TypeError, "Residual 1 of the PDE is None"),
    "complex": (TypeError, "is a tensor of torch.complex64"),
    "one number": (ValueError, r"is a tensor of shape \(\)"),
    "too short": (ValueError, "has 3 rows, the first 8 of which belong to conditions"),
    "four arguments": (ValueError, "The PDE takes 4 arguments, and DeepXDE leaves it out"),
}


@pytest.mark.parametrize("residual", TOLD)
def test_a_residual_is_named(residual):
    error, message = TOLD[residual]
    with pytest.raises(error, match=message):
        trained(ddb.Model, problem(RESIDUALS[residual]), loss_weights="relobralo")


def test_a_problem_without_residual_points():
    data = problem()
    data.num_domain, data.num_boundary, data.train_x_all = 0, 0, data.train_x_all[:0]
    data.train_x = data.train_x_bc
    with pytest.raises(ValueError, match=r"no row is left.*sample residual points"):
        trained(ddb.Model, data, loss_weights="uw")


@pytest.mark.parametrize(
    "name, message",
    [
        ("value None", r"condition bc0 \(DirichletBC\) can't be evaluated.*TypeError"),
        ("no such component", r"error of shape \(8, 0\) at 8 points.*output that it names"),
        ("operator integers", r"bc0 \(OperatorBC\) is a tensor of torch.int64"),
        ("more values than points", r"data0 \(PointSetBC\) can't be evaluated"),
    ],
)
def test_a_condition_is_named(name, message):
    data = problem(conditions=[CONDITIONS[name]])
    with pytest.raises((TypeError, ValueError), match=message):
        trained(ddb.Model, data, loss_weights="uw")
    assert all("error" not in vars(condition) for condition in data.bcs)  # as it was found


def test_a_condition_that_is_there_twice():
    data = problem()
    data.bcs.append(data.bcs[0])
    data.resample_train_points(True, True)
    trained(ddb.Model, data, loss_weights="uw")


def test_weights_per_point_of_residuals_in_double_precision_or_too_long():
    trained(ddb.Model, problem(RESIDUALS["double"]), loss_weights="sa")
    with pytest.raises(ValueError, match="'pde' has 40 errors at 16 points"):
        trained(ddb.Model, problem(RESIDUALS["too long"]), loss_weights="sa")


# What callbacks do.


def resampled(model):
    model.data.resample_train_points(True, True)
    model.train_state.set_data_train(*model.data.train_next_batch())


def another_condition(model):
    model.data.bcs.append(points(3)())
    resampled(model)


def one_condition_less(model):
    model.data.bcs.pop()
    resampled(model)


def another_residual(model):
    model.data.pde = lambda x, u: [laplace(x, u), u]


def other_points(change):
    def with_points(model):
        model.data.train_x = change(model.data.train_x)
        model.train_state.set_data_train(model.data.train_x, None)

    return with_points


DEEDS = {
    "condition more": another_condition,
    "condition less": one_condition_less,
    "residual more": another_residual,
    "no residual": lambda model: setattr(model.data, "pde", None),
    "all frozen": lambda model: model.net.requires_grad_(False),
    "half network": lambda model: model.net.half(),
    "double network": lambda model: model.net.double(),
    "another network": lambda model: setattr(model, "net", scripts.network((2, 5, 1))),
    "another optimizer": lambda model: setattr(
        model, "opt", torch.optim.SGD(model.net.parameters(), lr=1e-3)
    ),
    "no optimizer": lambda model: setattr(model, "opt", None),
    "compiled": lambda model: model.compile("adam", lr=1e-3, verbose=0),
    "trained": lambda model: model.train(iterations=1, verbose=0),
    "no points": other_points(lambda x: x[:0]),
    "few points": other_points(lambda x: x[:9]),
    "double points": other_points(lambda x: x.astype(np.float64)),
    "points twice": other_points(lambda x: np.concatenate([x, x[-8:]])),
    "a word as weights": lambda model: setattr(model, "loss_weights", "auto"),
    "a negative weight": lambda model: setattr(model, "loss_weights", [-1.0, 1.0]),
    "one weight": lambda model: setattr(model, "loss_weights", [1.0]),
    "resampled": resampled,
}


class Does(dde.callbacks.Callback):
    """Does something to the model after its second iteration."""

    def __init__(self, deed):
        super().__init__()
        self.deed, self.done = deed, False

    def on_epoch_end(self):
        if not self.done and self.model.train_state.iteration >= 2:
            self.done = True
            self.deed(self.model)


@given(st.sampled_from(sorted(DEEDS)), STRATEGIES)
@cases()
def test_callbacks_that_change_the_model(name, strategy):
    deed = DEEDS[name]
    error = error_of(trained, ddb.Model, problem(), [Does(deed)], loss_weights=strategy)
    if error is not None and not is_told(error):
        stock = error_of(trained, dde.Model, problem(), [Does(deed)])
        assert type(stock) is type(error), f"{error!r}; stock DeepXDE: {stock!r}"


@pytest.mark.parametrize("strategy", ["uw", "sa", "auto"])
@pytest.mark.parametrize("name", ["condition less", "no residual", "all frozen"])
def test_what_a_callback_takes_away_is_told(name, strategy):
    message = "nothing to train" if name == "all frozen" else "losses now, but at compile there"
    with pytest.raises(RuntimeError, match=message):
        trained(ddb.Model, problem(), [Does(DEEDS[name])], loss_weights=strategy)


class Sessions(RuleBasedStateMachine):
    """A notebook: compile, train, change and save in any order."""

    @initialize()
    def begin(self):
        self.model = ddb.Model(problem(), scripts.network((2, 4, 1)))
        self.last = None

    def do(self, call, *args, **kwargs):
        error = error_of(call, *args, **kwargs)
        assert error is None or is_told(error), repr(error)
        return error is None

    @rule(strategy=STRATEGIES, optimizer=st.sampled_from(["adam", "sgd"]))
    def compile(self, strategy, optimizer):
        self.do(self.model.compile, optimizer, lr=1e-4, loss_weights=strategy, verbose=0)

    @rule(weights=st.sampled_from(["keep", [1.0, 2.0], [1.0], {"bc0": 3.0}, {"bc9": 1.0}, None]))
    def compile_with_numbers(self, weights):
        self.do(self.model.compile, "adam", lr=1e-4, loss_weights=weights, verbose=0)

    @precondition(lambda self: self.model.opt is not None)
    @rule(iterations=st.integers(0, 3))
    def train(self, iterations):
        self.do(self.model.train, iterations=iterations, display_every=1, verbose=0)

    @rule()
    def diagnose(self):
        self.do(ddb.diagnose, self.model)

    @rule(numbers=st.sampled_from([[1.0, 5.0], [0.0, 1.0], [-1.0, 1.0], [1.0], None]))
    def set_numbers(self, numbers):
        """What is not allowed is refused at the next look, and by then a script has mended it."""
        before = self.model.loss_weights
        self.model.loss_weights = numbers
        if not self.do(lambda: self.model.weights):
            self.model.loss_weights = before

    @rule()
    def resample(self):
        self.model.data.resample_train_points(True, True)

    @rule(x=st.floats(0, 1, allow_subnormal=False), y=st.floats(0, 1, allow_subnormal=False))
    def add_anchor(self, x, y):
        self.model.data.add_anchors(np.array([[x, y]], dtype=np.float32))

    @precondition(lambda self: self.model.opt is not None)
    @rule()
    def save_and_restore(self):
        with tempfile.TemporaryDirectory() as folder:
            path = self.model.save(os.path.join(folder, "run"))
            parameters = scripts.parameters_of(self.model).clone()
            assert self.do(self.model.restore, path)
            assert torch.equal(scripts.parameters_of(self.model), parameters)

    @rule()
    def look(self):
        if len(self.model.losshistory.loss_train):
            assert_finite(self.model)


TestSessions = Sessions.TestCase
TestSessions.settings = settings(cases(0.4), stateful_step_count=12)
