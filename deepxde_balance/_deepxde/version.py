"""The releases of DeepXDE that the package is tested with."""

from __future__ import annotations

import re
import warnings

#: The first and the last, by their first two numbers.
TESTED = ((1, 14), (1, 15))


def warn_if_untested(version: str) -> None:
    """Warns of a release of DeepXDE that is older or newer than those of the tests.

    This package replaces parts of DeepXDE's model and reads attributes that are not public. With
    another release, results may be wrong where nothing raises an error.

    Args:
        version: DeepXDE's version, such as ``"1.15.0"``.
    """
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is not None and TESTED[0] <= (int(numbers[1]), int(numbers[2])) <= TESTED[1]:
        return
    first, last = (f"{major}.{minor}" for major, minor in TESTED)
    warnings.warn(
        f"deepxde_balance is tested with DeepXDE {first} to {last}; this is {version}. It replaces "
        "parts of DeepXDE that may work differently there. Compare a short training with "
        f"loss_weights=None to one of dde.Model, or install deepxde=={last}.*.",
        stacklevel=3,
    )
