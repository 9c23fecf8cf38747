"""The versions of the packages that a run's numbers depend on."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

#: The packages that compute; another version of one of them may round otherwise.
PACKAGES = ("deepxde-balance", "deepxde", "torch", "numpy")


@cache
def present() -> dict[str, str]:
    """The installed versions by package, and Python's."""
    return {**{name: _version(name) for name in PACKAGES}, "python": platform.python_version()}


def tell_changed(saved: Mapping[str, str], path: str) -> None:
    """Warns of packages that have another version than when a checkpoint was saved.

    Args:
        saved: The versions in the checkpoint; empty for one of a format without them.
        path: The file, for the message.
    """
    changed = [
        f"{name} {saved[name]}, now {number}"
        for name, number in present().items()
        if saved.get(name, number) != number
    ]
    if changed:
        warnings.warn(
            f"{path} was saved with {'; '.join(changed)}: training goes on from it, but perhaps "
            "not to the last bit as it would have.",
            stacklevel=4,
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a folder of sources
        return "not installed"
