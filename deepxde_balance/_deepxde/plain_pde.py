"""Whether a data object computes its losses as DeepXDE's ``PDE`` does."""

from __future__ import annotations

import deepxde as dde

_OF_PDE = ("losses", "losses_train", "losses_test", "train_next_batch", "test")


def why_not_plain(data: dde.data.Data) -> str | None:
    """Says why the losses may be others than those of ``dde.data.PDE``; ``None`` if they are not.

    Args:
        data: The data object.
    """
    if not isinstance(data, dde.data.PDE):
        return f"{type(data).__name__} is no dde.data.PDE"
    for name in _OF_PDE:
        if name in vars(data) or getattr(type(data), name) is not getattr(dde.data.PDE, name):
            return f"{type(data).__name__} has `{name}` of its own"
    return None
