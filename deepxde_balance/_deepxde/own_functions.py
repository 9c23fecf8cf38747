"""DeepXDE's functions that a model keeps, in a copy of the model."""

from __future__ import annotations

import types
from typing import Any


def bind_functions(copied: Any, original: Any) -> None:
    """Lets DeepXDE's functions in a copy of a model evaluate the copy.

    DeepXDE makes them inside of `compile`: they hold the model that was compiled, and
    ``copy.deepcopy`` takes functions as they are. Losses and predictions would be the original's.

    Args:
        copied: The copy. Functions among its attributes are replaced.
        original: The model that it was made from.
    """
    made: dict[int, types.FunctionType] = {}
    for name, value in list(vars(copied).items()):
        if isinstance(value, types.FunctionType) and value.__closure__:
            setattr(copied, name, _bound(value, copied, original, made))


def _bound(
    function: types.FunctionType, copied: Any, original: Any, made: dict[int, types.FunctionType]
) -> types.FunctionType:
    """The function with the copy in the place of the original, also in functions that it calls."""
    if id(function) in made:
        return made[id(function)]
    cells = tuple(types.CellType() for _ in function.__closure__ or ())
    bound = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        cells,
    )
    made[id(function)] = bound
    for new, cell in zip(cells, function.__closure__ or (), strict=True):
        value = cell.cell_contents
        if value is original:
            value = copied
        elif isinstance(value, types.FunctionType) and value.__module__ == function.__module__:
            value = _bound(value, copied, original, made)
        new.cell_contents = value
    return bound
