"""Finds the checkpoints of a run."""

from __future__ import annotations

import os
from pathlib import Path

from ..ranks import current


def checkpoints(prefix: Path) -> list[Path]:
    """The paths of the checkpoints of a prefix, the oldest first.

    Those of a longer prefix, ``"model-lbfgs"`` for ``"model"``, are left out.
    """
    beginning = f"{prefix.name}-"  # not in the pattern, where a name like "a[1]" is another one
    numbers = {
        path: path.stem.removeprefix(beginning)
        for path in prefix.parent.glob("*.pt")
        if path.name.startswith(beginning)
    }
    return sorted((p for p, n in numbers.items() if n.isdigit()), key=lambda p: int(numbers[p]))


def last_checkpoint(save_path: str | os.PathLike[str]) -> str | None:
    """The last checkpoint that `Model.save` or ``dde.callbacks.ModelCheckpoint`` has written.

    Args:
        save_path: The prefix that it was given.

    Returns:
        The path of the checkpoint with the most iterations; ``None`` if there is none.

    Raises:
        TypeError: If `save_path` is no path.
        RanksError: If several processes train together and don't see the same file.

    Example:
        A script that goes on where it was stopped, with ``model`` a compiled
        :class:`~deepxde_balance.Model`::

            saving = dde.callbacks.ModelCheckpoint("run/model", period=1000)
            path = ddb.last_checkpoint("run/model")
            if path is not None:
                model.restore(path)
            model.train(iterations=20000 - model.train_state.step, callbacks=[saving])
    """
    if not isinstance(save_path, (str, os.PathLike)):
        raise TypeError(f"save_path={save_path!r} is not allowed: give the prefix of a path.")
    ranks = current()
    if ranks is not None:
        ranks.wait()  # the first rank may still be writing one
    found = checkpoints(Path(save_path))
    last = str(found[-1]) if found else None
    if ranks is not None:
        ranks.require_same(
            {"the last checkpoint": str(last)},
            "Save to a folder that all machines share.",
        )
    return last
