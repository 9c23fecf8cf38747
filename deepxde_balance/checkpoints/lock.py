"""Keeps two processes from writing checkpoints of the same name."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(prefixes: Iterable[str | os.PathLike[str]]) -> Iterator[None]:
    """A context in which no other process trains with checkpoints of these names.

    The lock of a process that was killed is released.

    Args:
        prefixes: The prefixes of the checkpoints, as ``dde.callbacks.ModelCheckpoint`` is given.

    Raises:
        FileNotFoundError: If a folder does not exist.
        BlockingIOError: If another process, or another training of this one, has a lock.
        OSError: If the folder can't be written to.
    """
    paths = {_lock_path(prefix): prefix for prefix in prefixes}
    with ExitStack() as stack:
        for path, prefix in paths.items():
            if not path.parent.is_dir():
                raise FileNotFoundError(
                    f"Checkpoints {os.fspath(prefix)!r}: there is no folder {path.parent}. Make it "
                    "first."
                )
            _check_writable(path.parent)
            try:
                stack.enter_context(FileLock(path).acquire(timeout=0))
            except Timeout:
                raise BlockingIOError(
                    f"Checkpoints {os.fspath(prefix)!r}: another training saves to this name. Wait "
                    "for it, stop it, or give another name."
                ) from None
            except (NotImplementedError, OSError) as error:
                warnings.warn(
                    f"{path} can't be locked, as on a file system without locks ({error}): see to "
                    f"it that no other training saves to {os.fspath(prefix)!r}.",
                    stacklevel=5,
                )
        yield


def _lock_path(prefix: str | os.PathLike[str]) -> Path:
    """The file to lock: the same for every way to write a prefix, ``"a"``, ``"./a"``, a Path."""
    folder, name = os.path.split(os.fspath(prefix))
    return Path(os.path.realpath(folder or "."), f".{name}.lock")


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
