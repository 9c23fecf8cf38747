"""What the evaluation of a model's losses reads, besides the points and the parameters.

Only what is listed here is understood: numbers, text, tuples, lists and dicts, small arrays,
tensors, Python functions, instances of plain classes, PyTorch's and DeepXDE's own objects. Names
are taken from the functions' code, more of them rather than fewer. Everything else raises a
:class:`NotUnderstoodError`.
"""

from __future__ import annotations

import abc
import builtins
import functools
import types
from collections import OrderedDict
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from ..._deepxde.target_cache import TargetCache
from .constants import (
    IMMUTABLE,
    in_packages,
    is_builtin,
    is_constant,
    is_library_class,
    is_numpy_scalar,
    may_be_of_a_script,
    of_a_package,
)
from .names_of_code import NotUnderstoodError, names_of
from .places import (
    MISSING,
    PLAIN,
    Attributes,
    Defaults,
    Entries,
    Items,
    Memory,
    Names,
    Place,
    Values,
)

#: More numbers than this, in all arrays together, take too long to be compared in each iteration.
_MOST_NUMBERS = 10_000

#: More places than this take too long, too.
_MOST_PLACES = 3000

#: Attributes of a module that change in each evaluation, or say nothing about it.
_OF_MODULES = frozenset({"_auxiliary_vars", "_non_persistent_buffers_set"})

#: Attributes of DeepXDE's conditions that their errors do not read while the points stay.
_OF_CONDITIONS = frozenset(
    {"geom", "on_boundary", "on_boundary1", "on_boundary2", "boundary_normal", "points"}
)

#: What a class may have without its instances reading it.
_OF_CLASSES = frozenset(
    {
        *("__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__"),
        *("__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__"),
        *("__dataclass_fields__", "__dataclass_params__", "__match_args__", "__post_init__"),
        *("__getstate__", "__setstate__"),
        *("__init__", "__new__", "__repr__", "__str__", "__hash__", "__setattr__", "__delattr__"),
        *("__init_subclass__", "__del__", "__replace__", "__firstlineno__"),
        *("__static_attributes__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    }
)

#: What makes reading an attribute more than a look into the instance and its class.
_REFUSED_OF_CLASSES = {
    "__getattr__",
    "__getattribute__",
    "__get__",
    "__set__",
    "__delete__",
    "__slots__",
}


class Reads:
    """The places of what code reads.

    Example:
        ``pde`` is a residual; ``nu``, which it reads, is a global of the script::

            reads = Reads()
            reads.add(pde)
            reads.unchanged()  # False after nu = 0.2
    """

    def __init__(self) -> None:
        self._places: list[Place] = [Defaults()]
        #: What the places hold, how to read it, and the places to be asked themselves; as they were
        #: when all were asked last.
        self._held: list[Any] = [MISSING]
        self._holds: list[Callable[[], Iterable[Any]]] = []
        self._others: list[Place] = []
        #: The number of entries of all arrays.
        self._numbers = 0
        #: All objects met so far, kept so that no other can take the `id` of one.
        self._met: dict[int, Any] = {}
        #: The attributes that any of the code reads.
        self._attributes: set[str] = set()
        #: The names that were watched of each module of a user.
        self._modules: dict[int, tuple[types.ModuleType, set[str]]] = {}
        #: The memory of the tensors that are read.
        self.storages: set[int] = set()

    def unchanged(self) -> bool:
        """Whether all places hold what they held. It may raise where one can't be read now."""
        now = self._now()
        if len(now) == len(self._held) and all(map(is_, now, self._held)):
            return all([place.unchanged() for place in self._others])
        if not all([place.unchanged() for place in self._places]):
            return False
        self._holds = [holds for place in self._places for holds in place.holds]
        self._others = [place for place in self._places if not place.holds]
        self._held = self._now()  # perhaps other objects, of the same values
        return True

    def _now(self) -> list[Any]:
        """The objects that the places hold now."""
        now: list[Any] = []
        for holds in self._holds:
            now.extend(holds())
        return now

    def add(self, value: Any) -> None:
        """Adds what a value holds, and what its code reads.

        Raises:
            NotUnderstoodError: If that can't be told.
        """
        self._held = [MISSING]  # all places are to be asked
        self._value(value)
        self._follow_modules()
        if len(self._places) > _MOST_PLACES:
            raise NotUnderstoodError(f"{len(self._places)} places")

    def add_attributes(self, owner: Any, names: Iterable[str]) -> None:
        """Adds some attributes of an object, and what they hold.

        Raises:
            NotUnderstoodError: If that can't be told.
        """
        for name in names:
            self.replaced(owner, [name])
            self.add(getattr(owner, name))

    def replaced(self, owner: Any, names: Iterable[str]) -> None:
        """Adds some attributes of an object, but nothing of what they hold."""
        self._held = [MISSING]
        self._places.append(Attributes(owner, list(names)))

    def _value(self, value: Any) -> None:
        kind = type(value)
        if kind in IMMUTABLE or is_numpy_scalar(value):
            return
        if id(value) in self._met:
            return
        self._met[id(value)] = value
        if kind in (tuple, frozenset):
            self._all(value)
        elif kind is list:
            self._places.append(Items(value))
            self._all(value)
        elif kind in (dict, OrderedDict):
            self._mapping(value)
        elif kind is np.ndarray:
            self._array(value)
        elif kind in (Tensor, torch.nn.Parameter):
            self._tensor(value)
        elif kind is types.FunctionType:
            self._function(value)
        elif kind is types.MethodType:
            self._all((value.__func__, value.__self__))
        elif kind is functools.partial:
            self._all((value.func, value.args, value.keywords))
        elif kind is TargetCache:
            # Its values stay while the points do, unless they depend on a variable.
            self._places.append(Attributes(value, ("function", "live")))
            if value.live:
                self._value(value.function)
        elif not is_constant(value):
            self._instance(value)

    def _all(self, values: Iterable[Any]) -> None:
        for value in values:
            self._value(value)

    def _mapping(self, mapping: Any, left_out: frozenset[str] = frozenset()) -> None:
        for key in mapping:
            if not isinstance(key, tuple) and type(key) not in PLAIN:
                raise NotUnderstoodError(f"a key that is a {type(key).__name__}")
        self._places.append(Entries(mapping, left_out))
        self._all([value for key, value in mapping.items() if key not in left_out])

    def _array(self, array: np.ndarray) -> None:
        self._numbers += array.size
        if self._numbers > _MOST_NUMBERS or array.dtype.kind not in "biufc":
            raise NotUnderstoodError(f"an array of {array.size} entries of type {array.dtype}")
        self._places.append(Values(array))

    def _tensor(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:
            raise NotUnderstoodError("a sparse tensor")
        self.storages.add(tensor.untyped_storage().data_ptr())
        self._mapping(vars(tensor))
        if not tensor.requires_grad:  # parameters are read from wherever they are
            self._places.append(Memory(tensor))

    def _function(self, function: types.FunctionType) -> None:
        if of_a_package(function):
            return
        self._places.append(Attributes(function, ("__code__", "__defaults__", "__kwdefaults__")))
        self._all((function.__defaults__, function.__kwdefaults__, vars(function)))
        names = names_of(function.__code__)
        self._attributes |= names.attributes
        self._globals(function, names.globals)
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if name == "__class__":  # for `super`; the instance's classes are read anyway
                continue
            try:
                value = cell.cell_contents
            except ValueError:
                raise NotUnderstoodError(f"the name {name} has no value") from None
            self._places.append(Attributes(cell, ("cell_contents",)))
            self._named(value)

    def _globals(self, function: types.FunctionType, names: Iterable[str]) -> None:
        """Adds the globals that a function reads."""
        known = function.__globals__
        self._places.append(Names(known, names))
        for name in names:
            value = known.get(name, MISSING)
            if value is not MISSING:
                self._named(value)
                continue
            builtin = getattr(builtins, name, MISSING)
            if not is_builtin(builtin):
                raise NotUnderstoodError(f"the name {name}")

    def _named(self, value: Any) -> None:
        """Adds what a global or a name of an enclosing function stands for."""
        if type(value) is types.ModuleType:
            self._module(value)
        else:
            self._value(value)

    def _module(self, module: types.ModuleType) -> None:
        """Adds a module. What the code may read of it is added later."""
        if not in_packages(module.__name__) and "__getattr__" in vars(module):
            raise NotUnderstoodError(f"the module {module.__name__}")
        self._modules.setdefault(id(module), (module, set()))

    def _follow_modules(self) -> None:
        """Adds each attribute of a module that has the name of one that is read anywhere.

        What the packages' modules hold is not looked into, but for what a script may have put
        there: functions of its own, lists and dicts.
        """
        again = True
        while again:
            again = False
            for module, followed in list(self._modules.values()):
                new = self._attributes - followed
                if not new:
                    continue
                again = True
                followed |= new
                self._places.append(Names(vars(module), sorted(new)))
                for name in new & set(vars(module)):
                    value = vars(module)[name]
                    if not in_packages(module.__name__) or may_be_of_a_script(value):
                        self._named(value)

    def _instance(self, instance: Any) -> None:
        """Adds the attributes of an instance and of its class."""
        kind = type(instance)
        if isinstance(instance, (type, types.ModuleType)) or not hasattr(instance, "__dict__"):
            raise NotUnderstoodError(f"a {kind.__name__}")
        left_out: frozenset[str] = frozenset()
        if isinstance(instance, torch.nn.Module):
            if getattr(instance, "_compiled_call_impl", None) is not None:
                raise NotUnderstoodError("a module that PyTorch compiles")
            left_out = _OF_MODULES
        elif kind.__module__.startswith("deepxde.icbc."):
            left_out = _OF_CONDITIONS
        for cls in kind.__mro__:
            if cls not in (object, abc.ABC):
                self._class(cls)
        attributes = vars(instance)
        if type(attributes) is not dict:
            raise NotUnderstoodError(f"a {kind.__name__}")
        self._mapping(attributes, left_out)

    def _class(self, cls: type) -> None:
        """Adds what an instance finds in a class; of a library's, what a script has put there."""
        if id(cls) in self._met:
            return
        self._met[id(cls)] = cls
        if is_library_class(cls):
            # PyTorch's compiler gives its own classes further attributes, and another `__init__`.
            functions = {
                name: value
                for name, value in vars(cls).items()
                if type(value) is types.FunctionType and name not in _OF_CLASSES
            }
            self._places.append(Names(vars(cls), functions))
            self._all(v for v in functions.values() if may_be_of_a_script(v))
            return
        if type(cls) not in (type, abc.ABCMeta) or not _REFUSED_OF_CLASSES.isdisjoint(vars(cls)):
            raise NotUnderstoodError(f"the class {cls.__name__}")
        self._places.append(Entries(vars(cls)))
        left_out = _OF_CLASSES
        if "__dataclass_params__" in vars(cls):
            left_out = left_out | {"__eq__", "__lt__", "__le__", "__gt__", "__ge__"}
        for name, value in vars(cls).items():
            if name in left_out:
                continue
            if type(value) is property:
                self._value(value.fget)
            elif type(value) in (staticmethod, classmethod):
                self._value(value.__func__)
            else:
                self._value(value)


def reads_of(model: dde.Model, settings: Iterable[Any]) -> Reads:
    """What the evaluation of a model's losses reads, but for the loss functions.

    Args:
        model: The model, on a ``dde.data.PDE``.
        settings: Objects of the package whose public attributes are read, too.

    Raises:
        NotUnderstoodError: If that can't be told.
    """
    reads = Reads()
    reads.replaced(model, ("net", "data"))
    reads.replaced(dde.config, ("autodiff",))
    reads.add(torch.nn.modules.module._global_forward_hooks)
    reads.add(torch.nn.modules.module._global_forward_pre_hooks)
    reads.add_attributes(model.data, ("pde", "bcs"))
    reads.add(model.net)
    for owner in settings:
        if type(owner).__module__.partition(".")[0] != __name__.partition(".")[0]:
            raise NotUnderstoodError(f"a {type(owner).__name__}")
        reads.add_attributes(owner, [name for name in vars(owner) if not name.startswith("_")])
    return reads
