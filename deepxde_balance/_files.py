"""Files that are never half written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UMASK = os.umask(0)  # which can't be read but by setting it
os.umask(_UMASK)


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to; when the context ends without an error, it takes the place of `path`.

    It is on the disk before: what `path` was is lost only when what it is to be is safe.

    Args:
        path: The file to be. Its folder must exist.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        with open(name, "rb+") as file:
            os.fsync(file.fileno())  # or a crash may leave the new name with nothing in it
        os.chmod(name, 0o666 & ~_UMASK)  # as any new file; mkstemp's are private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
