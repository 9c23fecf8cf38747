"""A callback that saves a checkpoint when a scheduler ends the process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import deepxde as dde

from .. import ranks
from ..model import Model
from ..training.loss_check import is_finite
from ..training.run import run_of

#: The iterations after which ranks tell each other whether they have been sent SIGTERM.
_ITERATIONS_BETWEEN_TALKS = 20

#: The exit status of a process that SIGTERM has ended, as a shell gives it.
STATUS = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """Raised after SIGTERM, when the checkpoint is written. The exit status is 143.

    Args:
        message: What was done.
    """

    def __init__(self, message: str):
        super().__init__(STATUS)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:  # from a worker process
        return type(self), (self.message,)


class SaveOnSigterm(dde.callbacks.ModelCheckpoint):
    """Saves a checkpoint on SIGTERM, at the end of the iteration, and ends the process.

    A scheduler sends SIGTERM some time before it kills a job, SLURM at the time limit or a
    preemption. Under L-BFGS the iteration's end is that of the optimizer's step, of up to 1000
    iterations. A message on stderr names the checkpoint, and the exit status is 143. A
    second SIGTERM ends the process at once.

    Several ranks end at the same iteration, at most 20 after the first of them was sent SIGTERM. A
    second one is then ignored: a scheduler and torchrun may both send one. torchrun kills them
    after 30 seconds.

    Args:
        save_path: The prefix of the checkpoint, as for ``dde.callbacks.ModelCheckpoint``.

    Raises:
        ValueError: When training begins: if the model is a stock ``dde.Model``, whose checkpoints
            are not complete, or training is not in the main thread, where signals arrive.

    Example:
        A script that goes on where it was stopped, with ``model`` a compiled
        :class:`~deepxde_balance.Model`::

            path = ddb.last_checkpoint("run/model")
            if path is not None:
                model.restore(path)
            stopping = ddb.SaveOnSigterm("run/model")
            model.train(iterations=20000 - model.train_state.step, callbacks=[stopping])
    """

    def __init__(self, save_path: str | os.PathLike[str]):
        super().__init__(os.fspath(save_path))
        self._requested = False
        #: The value of `model.train_state.step` when the ranks last told each other.
        self._told_at = 0
        self._before: Any = signal.SIG_DFL

    def on_train_begin(self) -> None:
        if not isinstance(self.model, Model):
            raise ValueError("SaveOnSigterm is for a deepxde_balance.Model, not a stock dde.Model.")
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("SaveOnSigterm: signals arrive in the main thread, train there.")
        self._requested, self._told_at = False, self.model.train_state.step
        before = signal.getsignal(signal.SIGTERM)
        owner = getattr(before, "__self__", None)
        if isinstance(owner, SaveOnSigterm):  # of this training, or of an interrupted one
            before = owner._before
        self._before = signal.SIG_DFL if before is None else before  # None: not set from Python
        signal.signal(signal.SIGTERM, self._on_signal)

    def on_epoch_end(self) -> None:
        if self._must_end(_ITERATIONS_BETWEEN_TALKS):
            self._save_and_end()

    def on_train_end(self) -> None:
        if self._must_end(0):  # after the end of the last iteration
            self._save_and_end()
        signal.signal(signal.SIGTERM, self._before)

    def save(self) -> str:
        """Saves the checkpoint and returns its path."""
        path: str = self.model.save(self.filepath)
        return path

    def _must_end(self, iterations: int) -> bool:
        """Whether this process, or another rank, was sent SIGTERM: the same on every rank.

        Args:
            iterations: Ranks tell each other if this many have passed since they last did.
        """
        together, step = ranks.current(), self.model.train_state.step
        if together is None:
            return self._requested
        if step - self._told_at < iterations:
            return False
        self._told_at = step
        return any(together.gather(self._requested))

    def _save_and_end(self) -> NoReturn:
        signal.signal(signal.SIGTERM, self._before)
        path, step = self.save(), self.model.train_state.step
        if is_finite(self.model.net):
            message = f"SIGTERM: saved {path} at iteration {step}; restore it to go on."
        else:
            message = (
                f"SIGTERM at iteration {step}: nothing was saved, since the network's parameters "
                "are not finite. The checkpoints before it stay as they are."
            )
        if ranks.is_first():
            print(message, file=sys.stderr, flush=True)
        raise Terminated(message)

    def _on_signal(self, number: int, frame: Any) -> None:
        # After an exception DeepXDE does not call `on_train_end`, and this handler stays.
        trains = run_of(self.model).in_training and self in self.model.callbacks.callbacks
        again = self._requested and ranks.current() is None
        if again or not trains:
            signal.signal(signal.SIGTERM, self._before)
            os.kill(os.getpid(), signal.SIGTERM)
        self._requested = True


def raise_on_sigterm(first: Callable[[], None]) -> Callable[[], object]:
    """Lets SIGTERM raise :class:`Terminated`; returns a function that undoes it.

    Outside the main thread, where signals don't arrive, it does nothing.

    Args:
        first: What is called before.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def on_signal(number: int, frame: Any) -> None:
        first()
        raise Terminated("SIGTERM")

    before = signal.signal(signal.SIGTERM, on_signal)
    return partial(signal.signal, signal.SIGTERM, before)
