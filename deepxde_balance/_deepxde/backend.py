"""DeepXDE chooses its backend when it is imported; this package works with PyTorch only."""

import os
import sys
from pathlib import Path


def choose_backend() -> None:
    """Chooses PyTorch for the package's command line, where no script can choose a backend."""
    command = Path(sys.argv[0]).stem if sys.argv else ""
    module = command == "-m" and "deepxde_balance" in sys.orig_argv
    if "deepxde" not in sys.modules and (command == "deepxde-balance" or module):
        os.environ["DDE_BACKEND"] = "pytorch"


def check_backend() -> None:
    """Raises ImportError unless DeepXDE runs on PyTorch."""
    import deepxde.backend

    name = deepxde.backend.backend_name
    if name != "pytorch":
        raise ImportError(
            f"deepxde_balance needs DeepXDE's PyTorch backend, but DeepXDE was imported with "
            f'{name!r}. Set the environment variable DDE_BACKEND=pytorch, or put "backend": '
            '"pytorch" into ~/.deepxde/config.json, before deepxde is imported.'
        )
