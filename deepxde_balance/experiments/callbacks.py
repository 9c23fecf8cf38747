"""Callbacks that write a run's checkpoints and its progress."""

from __future__ import annotations

import time
from pathlib import Path

import deepxde as dde

from ..callbacks.save_on_sigterm import SaveOnSigterm
from ..checkpoints.last import checkpoints
from ..model import Model


class Checkpoints(dde.callbacks.ModelCheckpoint):
    """Saves a checkpoint at intervals of time, and deletes the older ones.

    Args:
        prefix: The path of the checkpoints, without their number and ``.pt``.
        seconds: Seconds from one checkpoint to the next.
        last_step: An iteration after which there is a checkpoint in any case; ``None`` for none.
    """

    def __init__(self, prefix: Path, seconds: float, last_step: int | None = None):
        super().__init__(str(prefix))
        self.seconds = seconds
        self.last_step = last_step

    def on_train_begin(self) -> None:
        self._last = time.monotonic()

    def on_epoch_end(self) -> None:
        last = self.model.train_state.step == self.last_step
        if last or time.monotonic() - self._last >= self.seconds:
            save_only(self.model, self.filepath)
            self._last = time.monotonic()


class SaveOnSigtermOnly(SaveOnSigterm):
    """As :class:`SaveOnSigterm`, and deletes older checkpoints."""

    def save(self) -> str:
        save_only(self.model, self.filepath)
        return f"{self.filepath}-{self.model.train_state.iteration}.pt"


class IterationsDone(dde.callbacks.Callback):
    """Writes the number of finished iterations to a file once a second, for a progress bar.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self._next = 0.0

    def on_batch_end(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            # Not with `replaced`, which waits for the disk: that would slow training down.
            self.path.write_text(str(self.model.train_state.step))


def save_only(model: Model, prefix: str) -> None:
    """Saves a checkpoint, then deletes the older ones of the same prefix."""
    newest = Path(model.save(prefix))
    if not newest.exists():  # the network is not finite
        return
    for path in checkpoints(Path(prefix)):
        if path != newest:
            path.unlink()
