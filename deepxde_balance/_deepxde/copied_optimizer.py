"""The attributes of an optimizer that copying leaves out."""

from __future__ import annotations

import copy
from typing import Any


def complete_copy(copied: object, original: object, memo: dict[int, Any]) -> None:
    """Gives the copy of an optimizer the attributes that only the original has.

    PyTorch copies an optimizer's options and state alone. L-BFGS also has a list of its parameters,
    DeepXDE's NNCG its preconditioner, and an optimizer of another package its own settings.

    Args:
        copied: The copy.
        original: The optimizer, or ``None``.
        memo: What has been copied, as ``copy.deepcopy`` keeps it.
    """
    if original is None:
        return
    for name, value in vars(original).items():
        # Functions stay away: a scheduler of the learning rate puts one in the place of `step`, and
        # it makes steps of the original.
        if name not in vars(copied) and not callable(value):
            setattr(copied, name, copy.deepcopy(value, memo))
