"""The names that the code of a Python function reads."""

from __future__ import annotations

import dis
import types
from functools import lru_cache
from typing import NamedTuple


class NotUnderstoodError(Exception):
    """Something is read that can't be watched."""


class NamesOfCode(NamedTuple):
    """The names in a code object, those of the functions written inside it included.

    Args:
        globals: Names that are looked up in the function's module and among the builtins.
        attributes: Names of attributes and methods, of whatever objects.
    """

    globals: frozenset[str]
    attributes: frozenset[str]


_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}

#: What makes or removes names outside of the function, or brings in modules and classes. Storing
#: attributes is refused with them: the object may be one that is not watched.
_REFUSED = {
    "STORE_GLOBAL",
    "DELETE_GLOBAL",
    "STORE_NAME",
    "DELETE_NAME",
    "IMPORT_NAME",
    "IMPORT_FROM",
    "IMPORT_STAR",
    "STORE_ATTR",
    "DELETE_ATTR",
    "LOAD_BUILD_CLASS",
    "LOAD_CLASSDEREF",
    "LOAD_FROM_DICT_OR_DEREF",
    "LOAD_FROM_DICT_OR_GLOBALS",
}

#: Attributes that lead to any state at all, draw random numbers or depend on the memory's address.
_REFUSED_ATTRIBUTES = {
    "random",
    "default_rng",
    "f_globals",
    "f_locals",
    "gi_frame",
    "data_ptr",
    "untyped_storage",
    "register_hook",
}
_ALLOWED_DUNDERS = {"__call__", "__getitem__", "__len__", "__name__", "__init__"}


@lru_cache(maxsize=1024)
def names_of(code: types.CodeType) -> NamesOfCode:
    """The names in a code object.

    Raises:
        NotUnderstoodError: If the code changes names outside of the function, imports, makes a
            class, or reads an attribute that may lead anywhere.
    """
    global_names, attributes = set(), set(code.co_names)
    for instruction in dis.get_instructions(code):
        if instruction.opname in _GLOBAL:
            global_names.add(instruction.argval)
        elif instruction.opname in _REFUSED:
            raise NotUnderstoodError(f"{code.co_name} has {instruction.opname}")
        elif instruction.opname == "STORE_DEREF" and instruction.argval in code.co_freevars:
            raise NotUnderstoodError(f"{code.co_name} sets a nonlocal name")
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            names = names_of(inner)
            global_names |= names.globals
            attributes |= names.attributes
    for name in attributes:
        dunder = name.startswith("__") and name.endswith("__")
        if name in _REFUSED_ATTRIBUTES or (dunder and name not in _ALLOWED_DUNDERS):
            raise NotUnderstoodError(f"{code.co_name} reads {name}")
    return NamesOfCode(frozenset(global_names), frozenset(attributes))
