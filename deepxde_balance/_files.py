"""Writing files that are complete or absent, but never half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = os.umask(0)  # the mask can only be read by setting it
os.umask(_UMASK)


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to write to, and renames the finished file to `path`.

    The new file is flushed to the disk before it replaces an old one. If the context ends in an
    error, the temporary file is removed and `path` is left as it was.

    Args:
        path: The file to write. Its folder must exist.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb+") as file:
            os.fsync(file.fileno())  # else a crash may leave `path` empty
        os.chmod(name, 0o666 & ~_UMASK)  # mkstemp makes files that only their owner can read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
