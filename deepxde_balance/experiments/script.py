"""A function in a script, which the command line is given as ``my_script.py:build``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .._checks import unknown_name

_MODULE = "deepxde_balance_script_"


class Script:
    """A function of a script. A process imports the script at the first use, as no main program.

    Args:
        given: The path of the script and the function's name, ``"my_script.py:build"``.

    Raises:
        FileNotFoundError: If there is no such script.
        ValueError: If the script can't be imported, or has no such function.
    """

    def __init__(self, given: str):
        path, _, name = given.rpartition(":")
        if not path.endswith(".py"):
            raise ValueError(f"{given}: name the function, too: {given.rstrip(':')}:build.")
        self.path = Path(path).resolve()
        self.function = name
        self.__name__ = f"{self.path.name}:{name}"
        self._find()

    def __call__(self) -> Any:
        find = self._find()
        with _as_if_run(self.path):
            return find()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Imports the script in a worker process, where the strategies may be of its classes."""
        self.__dict__.update(state)
        self._find()

    def _find(self) -> Any:
        module = _imported(self.path)
        found = getattr(module, self.function, None)
        if not callable(found):
            own = [
                name
                for name, value in vars(module).items()
                if callable(value) and getattr(value, "__module__", None) == module.__name__
            ]
            raise unknown_name(f"function of {self.path.name}", self.function, own)
        return found


def is_script(given: str) -> bool:
    """Whether a text means a function in a script."""
    return ".py:" in given or given.endswith(".py")


def _imported(path: Path) -> ModuleType:
    name = _MODULE + path.stem
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such script.")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _as_if_run(path):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        why = ". It is imported without arguments" if isinstance(error, SystemExit) else ""
        raise ValueError(
            f"{path}: importing it failed: {type(error).__name__}: {error}{why}."
        ) from error
    return module


@contextmanager
def _as_if_run(path: Path) -> Iterator[None]:
    """A context for a script's code: modules beside it are found, and it has no arguments."""
    folder, arguments = str(path.parent), sys.argv
    sys.path.insert(0, folder)
    sys.argv = [str(path)]
    try:
        yield
    finally:
        sys.argv = arguments
        if folder in sys.path:
            sys.path.remove(folder)
