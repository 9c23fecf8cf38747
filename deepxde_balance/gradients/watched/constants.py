"""What the packages and Python itself provide, which no script changes."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import torch

from .places import PLAIN

#: The packages whose functions read nothing that a script changes.
_PACKAGES = {"torch", "numpy", "math", "cmath", "deepxde"}

#: The parts of these packages that hold a state of their own.
_WITH_STATE = ("numpy.random", "deepxde.data", "deepxde.model", "deepxde.callbacks", "torch.random")

#: The builtins that read nothing but their arguments.
_BUILTINS = {
    *(abs, all, any, bool, complex, dict, divmod, enumerate, filter, float, frozenset, hasattr),
    *(int, isinstance, issubclass, iter, len, list, map, max, min, next, pow, range, reversed),
    *(round, set, slice, sorted, str, sum, super, tuple, zip),
    *(ArithmeticError, AssertionError, AttributeError, Exception, IndexError, KeyError, NameError),
    *(NotImplementedError, RuntimeError, TypeError, ValueError, ZeroDivisionError),
}

#: Types whose values can't change.
IMMUTABLE = {
    *PLAIN,
    type(Ellipsis),
    type(NotImplemented),
    range,
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
    torch.Size,
}


def in_packages(module: str | None) -> bool:
    """Whether a module, by its name, is one of those that hold nothing that a script changes."""
    if module is None or module.partition(".")[0] not in _PACKAGES:
        return False
    return not any(module == name or module.startswith(f"{name}.") for name in _WITH_STATE)


def of_a_package(function: types.FunctionType) -> bool:
    """Whether a function is one of the packages', and has none of a user's inside.

    Its `__module__` does not tell: ``functools.wraps`` copies that of another function.
    """
    return in_packages(function.__globals__.get("__name__")) and function.__closure__ is None


def may_be_of_a_script(value: Any) -> bool:
    """Whether a value in a package is a module, or what a script may have put there."""
    if isinstance(value, types.FunctionType):
        return not in_packages(value.__globals__.get("__name__"))
    return type(value) in (types.ModuleType, list, dict)


def is_library_class(cls: type) -> bool:
    """Whether a class's own code reads nothing but its instances' attributes."""
    return cls.__module__.startswith(
        ("torch.nn.", "deepxde.nn.", "deepxde.icbc.", "deepxde.geometry.")
    )


def is_builtin(value: Any) -> bool:
    """Whether a value is one of the builtins that read nothing but their arguments."""
    return isinstance(value, (type, types.BuiltinFunctionType)) and value in _BUILTINS


def is_numpy_scalar(value: Any) -> bool:
    """Whether a value is a number of NumPy, or a type of numbers."""
    scalar = isinstance(value, (np.number, np.bool_, np.dtype))
    return scalar and type(value).__module__.partition(".")[0] == "numpy"


def is_constant(value: Any) -> bool:
    """Whether a value is a compiled function or a class that reads nothing else."""
    if isinstance(value, type):
        return value in _BUILTINS or in_packages(value.__module__)
    if isinstance(value, types.BuiltinFunctionType):
        owner = value.__self__
        if isinstance(owner, types.ModuleType):
            return is_builtin(value) or in_packages(owner.__name__)
        return (owner is None or isinstance(owner, type)) and in_packages(value.__module__)
    if isinstance(value, types.MethodDescriptorType):
        return in_packages(value.__objclass__.__module__)
    if isinstance(value, np.ufunc):  # a script may make one of its own function
        return getattr(np, value.__name__, None) is value
    # NumPy's functions that other arrays may override.
    return type(value).__name__ == "_ArrayFunctionDispatcher" and in_packages(value.__module__)
