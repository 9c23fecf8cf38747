"""Refuses what a trace can't hold: values of tensors in Python, random numbers, changed tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

#: What makes values of tensors Python's or NumPy's.
_READS_VALUES = {
    *(
        getattr(Tensor, name)
        for name in (
            *("item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "apply_", "map_"),
            *("__array__", "__bool__", "__float__", "__int__", "__index__", "__complex__"),
            *("__contains__", "__dlpack__", "__format__", "__repr__"),
        )
    ),
    torch.equal,
    torch.allclose,
    torch.is_nonzero,
}

#: What makes a tensor of a list, and reads the values of tensors in it where no mode sees that.
_TAKES_LISTS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new, Tensor.new_tensor}


class ValueReadError(RuntimeError):
    """A trace would go stale unnoticed, or draw the same random numbers each time."""


@contextmanager
def no_values(storages: Collection[int]) -> Iterator[None]:
    """Refuses operations that make a trace depend on values of tensors, while the context lasts.

    Args:
        storages: The memory of the tensors that must not change in place.

    Raises:
        ValueReadError: If there was such an operation, also if its own error was caught.
    """
    seen: list[str] = []
    with _Functions(seen), _Operations(seen, storages):
        yield
    if seen:
        raise ValueReadError(seen[0])


class _Functions(TorchFunctionMode):
    """Refuses functions of Python that read values of tensors.

    Args:
        seen: Takes the names of those that were called.
    """

    def __init__(self, seen: list[str]):
        super().__init__()
        self._seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        of_list = func in _TAKES_LISTS and any(
            isinstance(given, (list, tuple)) and _tensors(given)
            for given in (*args, *(kwargs or {}).values())
        )
        if func in _READS_VALUES or of_list:
            self._seen.append(func.__name__)
            raise ValueReadError(func.__name__)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Refuses operations whose results are no tensors of a fixed shape, or not the same each time.

    Args:
        seen: Takes the names of those that were called.
        storages: The memory of the tensors that must not change in place.
    """

    def __init__(self, seen: list[str], storages: Collection[int]):
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen, self._storages = seen, storages

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._refuses(func, args, kwargs):
            self._seen.append(str(func))
            raise ValueReadError(str(func))
        return func(*args, **kwargs)

    def _refuses(self, func: Any, args: Any, kwargs: Any) -> bool:
        tags = func.tags
        if torch.Tag.data_dependent_output in tags or torch.Tag.nondeterministic_seeded in tags:
            return True
        if torch.Tag.dynamic_output_shape in tags:
            if not str(func).startswith("aten.index."):
                return True
            return any(i.dtype in (torch.bool, torch.uint8) for i in _tensors(args[1:]))
        if func._schema.is_mutable:
            written = [
                given
                for given, argument in zip(args, func._schema.arguments, strict=False)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
            written += [
                kwargs[argument.name]
                for argument in func._schema.arguments
                if argument.name in kwargs
                and argument.alias_info is not None
                and argument.alias_info.is_write
            ]
            return any(t.untyped_storage().data_ptr() in self._storages for t in _tensors(written))
        return False


def _tensors(nested: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor)]
