"""Keeps two processes from writing checkpoints of the same name."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(prefixes: Iterable[str]) -> Iterator[None]:
    """A context in which no other process trains with checkpoints of these names.

    The lock of a process that was killed is released.

    Args:
        prefixes: The prefixes of the checkpoints, as ``dde.callbacks.ModelCheckpoint`` is given.

    Raises:
        FileNotFoundError: If a folder does not exist.
        BlockingIOError: If another process, or another training of this one, has a lock.
        OSError: If the folder can't be written to.
    """
    with ExitStack() as stack:
        for prefix in dict.fromkeys(prefixes):
            path = Path(prefix)
            if not path.parent.is_dir():
                raise FileNotFoundError(
                    f"ModelCheckpoint({prefix!r}): there is no folder {path.parent}. Make it first."
                )
            _check_writable(path.parent)
            try:
                lock = FileLock(path.with_name(f".{path.name}.lock"))
                stack.enter_context(lock.acquire(timeout=0))
            except Timeout:
                raise BlockingIOError(
                    f"ModelCheckpoint({prefix!r}): another training saves to checkpoints of this "
                    "name. Wait for it, stop it, or give another name."
                ) from None
            except (NotImplementedError, OSError):
                warnings.warn(
                    f"{path.parent} is on a file system without locks: see to it that no other "
                    f"training saves to {prefix!r}.",
                    stacklevel=5,
                )
        yield


def _check_writable(folder: Path) -> None:
    """Raises an OSError if no file can be written to a folder."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno,
            "ModelCheckpoint: no file can be written to the folder of the checkpoints "
            f"({error.strerror})",
            str(folder),
        ) from error
