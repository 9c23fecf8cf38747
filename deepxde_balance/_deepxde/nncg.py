"""DeepXDE's optimizer NNCG, which is given a loss to differentiate instead of gradients."""

from __future__ import annotations

from typing import Any

from deepxde.optimizers.pytorch.nncg import NNCG

__all__ = ["NNCG", "is_nncg"]


def is_nncg(optimizer: Any) -> bool:
    """Whether an optimizer object is DeepXDE's NNCG, which differentiates the loss itself."""
    return isinstance(optimizer, NNCG)
