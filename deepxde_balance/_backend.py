"""DeepXDE chooses its backend when it is imported; this package works with PyTorch only."""

import deepxde.backend


def check_backend() -> None:
    """Raises ImportError unless DeepXDE runs on PyTorch."""
    name = deepxde.backend.backend_name
    if name != "pytorch":
        raise ImportError(
            f"deepxde_balance needs DeepXDE's PyTorch backend, but DeepXDE was imported with "
            f'{name!r}. Set the environment variable DDE_BACKEND=pytorch, or put "backend": '
            '"pytorch" into ~/.deepxde/config.json, before deepxde is imported.'
        )
