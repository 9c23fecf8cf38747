"""A DeepXDE model that is saved whole, and goes on where it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import deepxde as dde
import torch

from ._deepxde import lbfgs
from ._deepxde.test_points import TestPoints
from .checkpoints import checkpoint
from .checkpoints.run_state import PendingRun
from .gradients.choose import EngineName
from .training.step import TrainStep
from .weightings import Weighting


class ResumableModel(dde.Model):
    """A ``dde.Model`` whose checkpoints hold all of a run.

    Args:
        data: ``deepxde.data.Data`` instance.
        net: ``deepxde.nn.NN`` instance.
    """

    #: As in DeepXDE: what its losses are multiplied with.
    loss_weights: Any

    def __init__(self, data: dde.data.Data, net: torch.nn.Module):
        super().__init__(data, net)
        self._step: TrainStep | None = None
        self._engine_asked: EngineName | None = None
        self._test_points: TestPoints | None = None
        self._pending: PendingRun | None = None
        self._in_train = False
        self._last_step: int | None = None
        self._lbfgs_start = 0

    @property
    def weighting(self) -> Weighting | None:
        """The weighting at work, with its state; ``None`` before training with weight 1 for all."""
        return None if self._step is None else self._step.weighting

    def save(self, save_path: str, protocol: str = "backend", verbose: int = 0) -> str:
        """Saves all that a run needs to go on as if it had never stopped.

        That is: network, external variables, optimizer, learning rate scheduler, weighting and
        groups, step counters, loss history, random states, and the points where they are
        resampled. A stock ``dde.Model`` restores network and optimizer from it. The file is
        written beside, then renamed: it is never half there.

        Args:
            save_path: Prefix of the file's name.
            protocol: ``"backend"``; with ``"pickle"``, the network alone, as in DeepXDE.
            verbose: Whether to print where the model was saved.

        Returns:
            The path, `save_path` and the iteration: ``"{save_path}-{iteration}.pt"``.
        """
        if protocol != "backend":
            return super().save(save_path, protocol=protocol, verbose=verbose)
        path = f"{save_path}-{self.train_state.iteration}.pt"
        checkpoint.write(self, path)
        if verbose > 0:
            print(f"Epoch {self.train_state.iteration}: saving model to {path} ...\n")
        return path

    def restore(self, save_path: str, device: str | None = None, verbose: int = 0) -> None:
        """Restores what `save` saved, into a model that was compiled the same way.

        Training then goes on as the unbroken run would, on the CPU to the last bit. A checkpoint
        from the middle of a `train` is gone on with in its middle: the record that DeepXDE makes
        when training begins is left out, and callbacks of the same classes take their counters up
        again. The weights of a phase with ``"keep"`` are restored into a model that was compiled
        without `loss_weights`. From a checkpoint of a stock ``dde.Model`` the weights start afresh,
        and a warning says so.

        Args:
            save_path: The path that `save` returned.
            device: Device to load it on; by default that of the model.
            verbose: Whether to print the path.

        Raises:
            FileNotFoundError: If there is no such file.
            CheckpointError: If the file is damaged, or of another network, optimizer, strategy
                or other groups. The model stays as it was.
            ValueError: If the model is not compiled yet.
        """
        if self.opt is None:
            raise ValueError("Compile the model as it was before it was saved, then restore.")
        if verbose > 0:
            print(f"Restoring model from {save_path} ...\n")
        place = next(self.net.parameters()).device if device is None else device
        self._pending = checkpoint.restore(self, checkpoint.read(save_path, place), save_path)
        weighting = self.weighting
        if self._pending is None and weighting is not None and weighting.dynamic:
            weighting.reset(len(weighting.weights), like=weighting.weights)
            warnings.warn(
                f"{save_path} is DeepXDE's own checkpoint, without loss weights: they start "
                "afresh, with 1 for all.",
                stacklevel=2,
            )

    def _train_sgd(self, iterations: int, display_every: int, verbose: int = 1) -> None:
        with self._training():
            if not self.stop_training:
                self._last_step = self.train_state.step + iterations
                super()._train_sgd(iterations, display_every, verbose=verbose)

    def _train_pytorch_lbfgs(self, verbose: int = 1) -> None:
        """DeepXDE's counts an optimizer's earlier iterations again."""
        if self._pending is None or not self._pending.state["in_train"]:
            self._lbfgs_start = lbfgs.iterations(self.opt)
        self._last_step = None
        with self._training():
            lbfgs.train(self, self._lbfgs_start, verbose)

    @contextmanager
    def _training(self) -> Iterator[None]:
        """Around the iterations, after training has begun."""
        # A checkpoint is to hold what the other callbacks did in the same iteration.
        self.callbacks.callbacks.sort(key=lambda c: isinstance(c, dde.callbacks.ModelCheckpoint))
        if self._pending is not None:
            self._pending.begin(self)
            self._pending = None
        if self._step is not None:
            self._step.engine.begin()
        self._in_train = True
        try:
            yield
        finally:
            self._in_train = False
        if self._step is not None:
            self._step.engine.confirm()
