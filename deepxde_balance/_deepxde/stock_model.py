"""DeepXDE's own model class.

A script may set ``dde.Model = ddb.Model``. Code that needs the stock class imports it from here.
"""

from __future__ import annotations

from collections.abc import Callable

from deepxde.model import Model as StockModel

__all__ = ["StockModel", "is_stock_step"]


def is_stock_step(step: Callable[..., None] | None) -> bool:
    """Whether a `train_step` is the one that DeepXDE makes in `compile`, and not a script's."""
    code = getattr(step, "__code__", None)
    return code is not None and code.co_filename == StockModel._compile_pytorch.__code__.co_filename
