"""Saves computed arrays in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..._files import replaced

Arrays = Mapping[str, np.ndarray]

_CHECKSUM = "sha256"


def cached(name: str, compute: Callable[[], Arrays]) -> dict[str, np.ndarray]:
    """Reads arrays from the cache folder, or computes and saves them.

    A damaged file is replaced, and a folder that can't be written to is not used; both with a
    warning.

    Args:
        name: Name of the file, without ``.npz``. It must contain everything that the arrays depend
            on: the method's version and its resolution.
        compute: Computes the arrays by name.
    """
    path = folder() / f"{name}.npz"
    try:
        return _read(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as error:  # a damaged file may raise any exception
        warnings.warn(
            f"The reference solution in {path} is damaged ({error}): it is computed anew.",
            stacklevel=2,
        )
    arrays = dict(compute())
    saved: dict[str, Any] = {**arrays, _CHECKSUM: _checksum(arrays)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as beside:
            np.savez(beside, **saved)
    except OSError as error:
        warnings.warn(
            f"The reference solution can't be kept in {path.parent} ({error}): the next process "
            "computes it again. DEEPXDE_BALANCE_CACHE names another folder.",
            stacklevel=2,
        )
    return arrays


def folder() -> Path:
    """The cache folder: ``$DEEPXDE_BALANCE_CACHE``, or ``~/.cache/deepxde-balance`` if not set.

    ``$XDG_CACHE_HOME`` takes the place of ``~/.cache``.
    """
    own = os.environ.get("DEEPXDE_BALANCE_CACHE")
    if own:
        return Path(own).expanduser()
    users = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(users).expanduser() / "deepxde-balance"


def _read(path: Path) -> dict[str, np.ndarray]:
    # NumPy leaves a truncated file open if it opens it itself.
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if str(arrays.pop(_CHECKSUM)) != _checksum(arrays):
        raise ValueError("its checksum is wrong")
    return arrays


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
