"""Callbacks that write a run's checkpoints and say how far it is."""

from __future__ import annotations

import time
from pathlib import Path

import deepxde as dde

from ..model import Model
from .run import checkpoints


class Checkpoints(dde.callbacks.ModelCheckpoint):
    """Saves the model every so many seconds, and keeps the newest checkpoint only.

    Args:
        prefix: Of the files' names.
        seconds: From one checkpoint to the next.
        last_step: After this step too; ``None`` for none.
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


class IterationsDone(dde.callbacks.Callback):
    """Writes the number of iterations done to a file, for whoever watches, once a second."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        self._next = 0.0

    def on_batch_end(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1
            # Not by `replaced`, whose wait for the disk training would feel once a second.
            self.path.write_text(str(self.model.train_state.step))


def save_only(model: Model, prefix: str) -> None:
    """Saves a checkpoint, then removes the older ones of the same prefix."""
    newest = Path(model.save(prefix))
    for path in checkpoints(Path(prefix)):
        if path != newest:
            path.unlink()
