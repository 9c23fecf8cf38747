"""Scripts that change what the losses read while they train: gradient_engine="fastest" follows.

Each script changes something in the middle of a training. The parameters must be those of the
uncompiled run, whose engine reads everything anew in each iteration. The graph is traced and
interpreted here, not compiled. For each script the number of graphs is noted: 0 where it must not
be traced, 1 where the trace follows by itself or the change is none, 2 where it is traced again.
"""

import copy
import ctypes
import dataclasses
import functools
import math
import operator
import sys
import types
from collections.abc import Callable
from typing import Any

import deepxde as dde
import numpy as np
import pytest
import torch
from _support import scripts
from _support.engines import assert_same_parameters

import deepxde_balance as ddb

pytestmark = pytest.mark.usefixtures("large_problem", "compiling_pays", "float64")

SQUARE = dde.geometry.Rectangle([0, 0], [1, 1])

#: Globals that the scripts read and change.
NU: Any = 0.3
TABLE: Any = None

FORWARD = dde.nn.FNN.forward

SCRIPTS: dict[str, tuple[Callable[[], Any], int]] = {}


@dataclasses.dataclass
class Script:
    """What a script trains, and what it does after iterations 8 and 9."""

    data: dde.data.PDE
    net: Any
    change: Callable[[Any], Any]
    compile: dict = dataclasses.field(default_factory=dict)
    callbacks: list = dataclasses.field(default_factory=list)


def script(graphs):
    """Registers a script with the number of graphs that it takes."""

    def register(make):
        SCRIPTS[make.__name__] = (make, graphs)
        return make

    return register


def with_pde(pde, change, bcs=None, net=None, **kwargs):
    bcs = bcs or [dde.icbc.DirichletBC(SQUARE, lambda x: x[:, 0:1], lambda _, on: on)]
    data = dde.data.PDE(SQUARE, pde, bcs, num_domain=12, num_boundary=8)
    return Script(data, net or scripts.network((2, 5, 1)), change, **kwargs)


def slope(x, u):
    return dde.grad.jacobian(u, x, i=0, j=0) + dde.grad.jacobian(u, x, i=0, j=1)


def set_global(name, value):
    return lambda model: globals().__setitem__(name, value)


# Numbers


@script(2)
def a_number_in_a_closure():
    nu = 0.3

    def pde(x, u):
        return slope(x, u) + nu * u

    def change(model):
        nonlocal nu
        nu = 2.0

    return with_pde(pde, change)


@script(2)
def a_global():
    return with_pde(lambda x, u: slope(x, u) + NU * u, set_global("NU", 2.0))


def with_nu(u):
    return NU * u


@script(2)
def a_global_that_another_function_reads():
    return with_pde(lambda x, u: slope(x, u) + with_nu(u), set_global("NU", 2.0))


@script(2)
def a_global_inside_a_comprehension():
    return with_pde(
        lambda x, u: slope(x, u) + sum([NU * u**k for k in (1, 2)]), set_global("NU", 2.0)
    )


@script(2)
def a_global_that_decides():
    return with_pde(lambda x, u: slope(x, u) if NU < 1 else 2 * u, set_global("NU", 2.0))


@script(2)
def the_sign_of_zero():
    globals()["NU"] = 0.0
    return with_pde(lambda x, u: slope(x, u) + math.copysign(1.0, NU) * u, set_global("NU", -0.0))


@script(1)
def a_number_that_is_set_to_itself():
    globals()["NU"] = 0.1 + 0.2
    return with_pde(lambda x, u: slope(x, u) + NU * u, lambda _: set_global("NU", 0.3 + 4e-17)(_))


@script(2)
def a_number_of_numpy():
    globals()["NU"] = np.float64(0.3)
    return with_pde(lambda x, u: slope(x, u) + float(NU) * u, set_global("NU", np.float64(2)))


@script(2)
def a_default():
    def pde(x, u, /, *, nu=0.3):
        return slope(x, u) + nu * u

    def change(model):
        pde.__kwdefaults__ = {"nu": 2.0}

    return with_pde(lambda x, u: pde(x, u), change)


@script(2)
def a_default_by_position():
    def times(u, nu=0.3):
        return nu * u

    def change(model):
        times.__defaults__ = (2.0,)

    return with_pde(lambda x, u: slope(x, u) + times(u), change)


@script(2)
def an_attribute_of_a_function():
    def pde(x, u):
        return slope(x, u) + pde.nu * u  # type: ignore[attr-defined]

    pde.nu = 0.3  # type: ignore[attr-defined]
    return with_pde(pde, lambda _: setattr(pde, "nu", 2.0))


# Objects


class Physics:
    shift = 0.1

    def __init__(self):
        self.nu = 0.3

    def pde(self, x, u):
        return slope(x, u) + self.twice * u + self.shift

    @property
    def twice(self):
        return 2 * self.nu


@script(2)
def an_attribute_of_a_bound_object():
    physics = Physics()
    return with_pde(physics.pde, lambda _: setattr(physics, "nu", 2.0))


@script(2)
def an_attribute_of_a_class():
    class Own(Physics):
        shift = 0.1

    own = Own()
    return with_pde(lambda x, u: own.pde(x, u), lambda _: setattr(Own, "shift", 2.0))


@script(2)
def an_attribute_that_hides_the_class_s():
    physics = Physics()
    return with_pde(physics.pde, lambda _: setattr(physics, "shift", 2.0))


@dataclasses.dataclass
class Settings:
    nu: float = 0.3


@script(2)
def a_field_of_a_dataclass():
    settings = Settings()
    return with_pde(
        lambda x, u: slope(x, u) + settings.nu * u, lambda _: setattr(settings, "nu", 2.0)
    )


class Unequal:
    nu = 0.3

    def __eq__(self, other):
        raise ValueError("not to be compared")

    __hash__ = None  # type: ignore[assignment]


@script(2)
def an_object_that_can_not_be_compared():
    globals()["TABLE"] = Unequal()

    def change(model):
        globals()["TABLE"] = Unequal()
        TABLE.nu = 2.0

    return with_pde(lambda x, u: slope(x, u) + TABLE.nu * u, change)


@script(2)
def an_entry_of_a_dict():
    table = {"nu": 0.3}
    return with_pde(lambda x, u: slope(x, u) + table["nu"] * u, lambda _: table.update(nu=2.0))


@script(2)
def an_entry_deep_inside():
    table: dict = {"a": [{"nu": 0.3}, (1.0, [2.0])]}

    def change(model):
        table["a"][1][1][0] = 5.0

    return with_pde(
        lambda x, u: slope(x, u) + table["a"][0]["nu"] * u + table["a"][1][1][0], change
    )


@script(2)
def a_list_that_grows():
    terms = [0.3]
    return with_pde(
        lambda x, u: slope(x, u) + sum(c * u for c in terms), lambda _: terms.append(0.5)
    )


@script(2)
def an_argument_of_a_partial():
    times = functools.partial(lambda u, nu: nu * u, nu=0.3)
    return with_pde(lambda x, u: slope(x, u) + times(u), lambda _: times.keywords.update(nu=2.0))


@script(2)
def a_name_of_another_module():
    module = types.ModuleType("own_settings")
    module.physics = types.ModuleType("own_settings.physics")  # type: ignore[attr-defined]
    module.physics.nu = 0.3
    globals()["TABLE"] = module
    return with_pde(
        lambda x, u: slope(x, u) + TABLE.physics.nu * u,
        lambda _: setattr(module.physics, "nu", 2.0),
    )


# Functions


@script(2)
def another_function():
    globals()["TABLE"] = lambda u: 0.3 * u
    return with_pde(
        lambda x, u: slope(x, u) + TABLE(u), set_global("TABLE", lambda u: torch.sin(u))
    )


@script(2)
def other_code():
    def times(u):
        return 0.3 * u

    def change(model):
        times.__code__ = (lambda u: 2.0 * u).__code__

    return with_pde(lambda x, u: slope(x, u) + times(u), change)


@script(2)
def another_residual():
    return with_pde(slope, lambda model: setattr(model.data, "pde", lambda x, u: slope(x, u) + u))


JACOBIAN = dde.grad.jacobian


@functools.wraps(JACOBIAN)
def times_nu(*args, **kwargs):
    return NU * JACOBIAN(*args, **kwargs)


@script(2)
def a_function_that_names_itself_deepxde_s():
    return with_pde(lambda x, u: times_nu(u, x, i=0, j=0) + u, set_global("NU", 2.0))


@script(2)
def a_function_of_a_script_in_deepxde_s_module():
    nu = [0.3]
    dde.grad.jacobian = lambda *args, **kwargs: nu[0] * JACOBIAN(*args, **kwargs)
    return with_pde(
        lambda x, u: dde.grad.jacobian(u, x, i=0, j=0) + u, lambda _: nu.__setitem__(0, 2.0)
    )


# Arrays and tensors


@script(2)
def an_array_in_place():
    array = np.array([0.3, 0.1])

    def change(model):
        array[0] = 2.0

    return with_pde(lambda x, u: slope(x, u) + float(array.sum()) * u, change)


@script(1)
def a_tensor_in_place():
    nu = torch.tensor(0.3)
    return with_pde(lambda x, u: slope(x, u) + nu * u, lambda _: nu.fill_(2.0))


@script(1)
def another_tensor():
    """Its operations are the same: the function that was compiled serves again."""
    globals()["TABLE"] = torch.tensor(0.3)
    return with_pde(lambda x, u: slope(x, u) + TABLE * u, set_global("TABLE", torch.tensor(2.0)))


@script(2)
def an_attribute_of_a_tensor():
    tensor: Any = torch.ones(1)
    tensor.nu = 0.3
    return with_pde(lambda x, u: slope(x, u) + tensor.nu * u, lambda _: setattr(tensor, "nu", 2.0))


@script(1)
def a_tensor_with_other_memory():
    nu = torch.tensor([0.3])
    return with_pde(
        lambda x, u: slope(x, u) + nu * u, lambda _: setattr(nu, "data", torch.tensor([2.0]))
    )


# Conditions, points, losses


@script(2)
def a_number_in_a_condition():
    nu = [0.3]
    bc = dde.icbc.OperatorBC(SQUARE, lambda x, u, _: u - nu[0], lambda _, on: on)
    return with_pde(slope, lambda _: nu.__setitem__(0, 2.0), [bc])


@script(2)
def a_number_in_a_robin_condition():
    nu = [0.3]
    bc = dde.icbc.RobinBC(
        SQUARE, lambda x, u: nu[0] * u, lambda x, on: on and 0 < x[1] < 1 and x[0] == 1
    )
    left = dde.icbc.DirichletBC(SQUARE, lambda x: 0, lambda x, on: on and x[0] == 0)
    return with_pde(slope, lambda _: nu.__setitem__(0, 2.0), [bc, left])


@script(2)
def another_component():
    bc = dde.icbc.DirichletBC(SQUARE, lambda x: x[:, 0:1], lambda _, on: on, component=0)
    net = scripts.network((2, 5, 2))
    return with_pde(slope, lambda _: setattr(bc, "component", 1), [bc], net)


@script(1)
def other_values_of_data():
    points = np.random.default_rng(0).random((6, 2))
    bc = dde.icbc.PointSetBC(points, points[:, :1])
    return with_pde(slope, lambda _: setattr(bc, "values", 2 * bc.values), [bc])


@script(1)
def values_of_data_in_place():
    points = np.random.default_rng(0).random((6, 2))
    bc = dde.icbc.PointSetBC(points, points[:, :1])
    return with_pde(slope, lambda _: bc.values.mul_(2), [bc])


@script(1)
def resampled_points():
    return with_pde(
        slope, lambda model: None, callbacks=[dde.callbacks.PDEPointResampler(period=10)]
    )


@script(1)
def points_in_place():
    def change(model):
        model.data.train_x[-3:] = 0.3

    return with_pde(slope, change)


@script(2)
def a_number_in_the_loss_function():
    delta = [0.05]

    def loss(true, found):
        return torch.nn.functional.huber_loss(found, true, delta=delta[0])

    return with_pde(slope, lambda _: delta.__setitem__(0, 0.2), compile={"loss": loss})


@script(1)
def loss_weights_of_a_list():
    def change(model):
        model.loss_weights[1] = 30.0

    return with_pde(slope, change, compile={"loss_weights": [1.0, 2.0]})


# Networks


@script(2)
def a_frozen_layer():
    return with_pde(slope, lambda model: model.net.linears[0].requires_grad_(False))


@script(2)
def another_transform():
    return with_pde(
        slope, lambda model: model.net.apply_output_transform(lambda x, u: x[:, 0:1] * u)
    )


@script(2)
def another_activation():
    return with_pde(slope, lambda model: setattr(model.net, "activation", torch.sin))


@script(2)
def another_forward_of_deepxde_s_network():
    def change(model):
        dde.nn.FNN.forward = lambda net, x: 2 * FORWARD(net, x)

    return with_pde(slope, change)


@script(2)
def a_number_in_a_transform():
    nu = [0.3]
    net = scripts.network((2, 5, 1))
    net.apply_feature_transform(lambda x: torch.sin(nu[0] * x))
    return with_pde(slope, lambda _: nu.__setitem__(0, 2.0), net=net)


class Own(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.last = torch.nn.Linear(2, 5), torch.nn.Linear(5, 1)
        self.register_buffer("shift", torch.zeros(1))
        self.scale = 1.0
        self.regularizer = None

    def forward(self, x):
        return self.last(torch.tanh(self.scale * self.first(x) + self.shift))


@script(2)
def a_number_of_a_network():
    return with_pde(slope, lambda model: setattr(model.net, "scale", 2.0), net=Own())


@script(1)
def another_buffer():
    return with_pde(slope, lambda model: setattr(model.net, "shift", torch.ones(1)), net=Own())


class OwnInTraining(Own):
    def forward(self, x):
        return super().forward(x) * (1.0 if self.last.training else 2.0)


@script(1)
def a_layer_in_evaluation_mode():
    """Until the next record, which takes one iteration more than the short time it is watched."""
    net = OwnInTraining()
    return with_pde(slope, lambda _: net.last.eval(), net=net)


@script(2)
def a_hook_of_a_layer():
    def change(model):
        if not model.net.last._forward_hooks:
            model.net.last.register_forward_hook(lambda layer, inputs, output: 2 * output)

    return with_pde(slope, change, net=Own())


@script(0)
def a_network_that_pytorch_compiles():
    net = Own()
    net.first._compiled_call_impl = net.first._call_impl  # what Module.compile sets
    return with_pde(slope, lambda model: None, net=net)


# What must not be traced


@script(0)
def a_tensor_made_a_number():
    nu = torch.tensor(0.3)
    return with_pde(lambda x, u: slope(x, u) + float(nu) * u, lambda _: nu.fill_(2.0))


@script(0)
def a_tensor_that_decides():
    nu = torch.tensor(0.3)
    return with_pde(lambda x, u: u if nu > 1 else slope(x, u), lambda _: nu.fill_(2.0))


@script(0)
def a_tensor_made_an_array():
    nu = torch.tensor([0.3])
    return with_pde(
        lambda x, u: slope(x, u) + torch.as_tensor(np.asarray(nu)) * u, lambda _: nu.fill_(2.0)
    )


@script(0)
def a_tensor_in_a_list_made_a_tensor():
    nu = torch.tensor(0.3)
    return with_pde(
        lambda x, u: slope(x, u) + torch.tensor([nu, 1]).sum() * u, lambda _: nu.fill_(2)
    )


@script(0)
def tensors_in_lists_made_an_array_like_another():
    nu = torch.tensor(0.3)
    return with_pde(
        lambda x, u: slope(x, u) + u.new_tensor([[nu], [1]]).sum() * u, lambda _: nu.fill_(2.0)
    )


@script(0)
def points_chosen_by_their_values():
    return with_pde(lambda x, u: slope(x, u) + u[u > -9].view(-1, 1), lambda _: None)


@script(0)
def a_number_of_ctypes():
    nu = ctypes.c_double(0.3)
    return with_pde(lambda x, u: slope(x, u) + nu.value * u, lambda _: setattr(nu, "value", 2.0))


class Table(dict):
    def __missing__(self, key):
        return NU


@script(0)
def a_subclass_of_dict():
    table = Table()
    return with_pde(lambda x, u: slope(x, u) + table["nu"] * u, set_global("NU", 2.0))


class Elsewhere:
    def __getattr__(self, name):
        return NU


@script(0)
def attributes_from_elsewhere():
    own = Elsewhere()
    return with_pde(lambda x, u: slope(x, u) + own.nu * u, set_global("NU", 2.0))


@script(0)
def an_import():
    module = types.ModuleType("own_settings")
    module.nu = 0.3  # type: ignore[attr-defined]
    sys.modules["own_settings"] = module

    def pde(x, u):
        import own_settings  # type: ignore[import-not-found]

        return slope(x, u) + own_settings.nu * u

    return with_pde(pde, lambda _: setattr(module, "nu", 2.0))


@script(0)
def a_generator_kept_between_calls():
    numbers = iter([0.3 + 0.01 * k for k in range(400)])
    return with_pde(lambda x, u: slope(x, u) + min(next(numbers), 0.0) * u, lambda _: None)


@script(0)
def a_count_in_the_residual():
    calls: list = []

    def pde(x, u):
        calls.append(1)
        return slope(x, u) + (len(calls) > 0) * u

    return with_pde(pde, lambda _: None)


def counting(x, u):
    global TABLE
    TABLE = 1
    return slope(x, u)


@script(0)
def an_attribute_of_a_module_by_its_name():
    module = types.ModuleType("own_settings")
    module.nu = 0.3  # type: ignore[attr-defined]
    read = operator.attrgetter("nu")
    return with_pde(
        lambda x, u: slope(x, u) + read(module) * u, lambda _: setattr(module, "nu", 2.0)
    )


@script(0)
def a_global_that_the_residual_sets():
    return with_pde(counting, lambda _: None)


@script(0)
def an_attribute_by_its_name():
    physics = Physics()
    return with_pde(
        lambda x, u: slope(x, u) + getattr(physics, "n" + "u") * u,
        lambda _: setattr(physics, "nu", 2.0),
    )


@script(1)
def a_global_that_is_deleted():
    globals()["TABLE"] = 0.3

    def pde(x, u):
        try:
            return slope(x, u) + TABLE * u
        except NameError:
            return slope(x, u)

    return with_pde(pde, lambda _: globals().pop("TABLE", None))


class Change(dde.callbacks.Callback):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def on_epoch_end(self):
        if self.model.train_state.iteration in (8, 9):
            self.change(self.model)


@pytest.fixture(autouse=True)
def _globals_as_before():
    before = {name: globals()[name] for name in ("NU", "TABLE")}
    yield
    globals().update(before)
    dde.nn.FNN.forward = FORWARD
    dde.grad.jacobian = JACOBIAN
    sys.modules.pop("own_settings", None)


def trained(make, engine):
    globals().update(NU=0.3, TABLE=None)
    dde.nn.FNN.forward = FORWARD
    dde.grad.jacobian = JACOBIAN
    dde.config.set_random_seed(7)
    script = make()
    model = ddb.Model(script.data, script.net)
    arguments = {"loss_weights": "gw-std"} | copy.deepcopy(script.compile)
    model.compile("adam", lr=1e-2, gradient_engine=engine, verbose=0, **arguments)
    callbacks = [Change(script.change), *script.callbacks]
    dde.config.set_random_seed(8)
    model.train(iterations=18, display_every=5, callbacks=callbacks, verbose=0)
    return model


@pytest.mark.parametrize("name", SCRIPTS)
def test_parameters_are_those_of_the_uncompiled_run(name, compilations):
    make, graphs = SCRIPTS[name]
    fastest = trained(make, "fastest")
    assert len(compilations) == graphs
    assert_same_parameters(fastest, trained(make, "one-pass"))
