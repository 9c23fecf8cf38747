"""A DeepXDE model whose loss weights adapt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import deepxde as dde
import numpy as np
import torch

from . import checkpoint, lbfgs
from .engine import EngineName, check_engine_name, reason_against, takes_one_pass
from .gradients import external_variables
from .prepare import LossWeights, check_optimizer, prepare, start_step
from .probe import find_terms
from .run_state import PendingRun
from .step import TrainStep, has_l1
from .targets import mend_targets, refresh_test_points
from .terms import LossGroups, Term, group_terms, name_terms, problem_of
from .weightings import Equal, Weighting


class Model(dde.Model):
    """A ``dde.Model`` with adaptive loss weights.

    Everything that ``dde.Model`` does, it does; `compile` takes more for `loss_weights`.

    Args:
        data: ``deepxde.data.Data`` instance.
        net: ``deepxde.nn.NN`` instance.

    Attributes:
        losshistory: DeepXDE's loss history, and in `losshistory.loss_weights` the weights that
            were applied: one mapping from group name to weight for each entry of
            `losshistory.steps`.
    """

    def __init__(self, data: dde.data.Data, net: torch.nn.Module):
        super().__init__(data, net)
        self.train_step: Callable[..., None] | None
        self._step: TrainStep | None = None
        self._engine_to_be: EngineName | None = None
        self.losshistory.loss_weights = []
        self._pending: PendingRun | None = None
        self._in_train = False
        self._last_step: int | None = None
        self._lbfgs_start = 0

    def compile(
        self,
        optimizer: str | torch.optim.Optimizer,
        lr: float | None = None,
        loss: Any = "MSE",
        metrics: Sequence[Any] | None = None,
        decay: tuple[Any, ...] | None = None,
        loss_weights: LossWeights = None,
        external_trainable_variables: Any = None,
        verbose: int = 1,
        loss_groups: LossGroups | None = None,
        gradient_engine: EngineName | None = None,
    ) -> None:
        """Configures the model for training.

        All arguments but three are those of ``dde.Model.compile``. The weights start afresh, with
        1 for all, in every compile but with ``"keep"``; an object given as `loss_weights` is
        copied, and remains as it was.

        With a strategy, `loss_train` and `loss_test` hold the unweighted losses, so that they mean
        the same at every step. With a list of numbers they hold the weighted ones, as in DeepXDE.

        Under L-BFGS and NNCG the weights are frozen within a step of the optimizer (up to 1000
        L-BFGS iterations, see ``dde.optimizers.set_LBFGS_options``); a strategy updates them
        between such steps only, every `update_every`-th.

        Args:
            loss_weights: One of

                - the name of a strategy (see :func:`deepxde_balance.weightings.names`);
                - a weighting object, e.g. ``ddb.DB("kurtosis", update_every=10)``;
                - a list of numbers, one per loss term: fixed weights, as in DeepXDE;
                - ``"keep"``: the weights that the model has now, frozen;
                - ``None``: weight 1 for all.

            loss_groups: Which terms share a weight: a mapping from a group's name to its IC/BC
                objects or their positions. By default each IC/BC object is a group, named by its
                kind and position (``"bc0"``, ``"ic1"``, ``"data2"``), and the PDE residuals
                together are the reference. ``"pde"`` takes positions of the residuals that make
                up the reference; the other residuals then become groups. ``"unweighted"`` takes
                conditions that stay at weight 1.
            gradient_engine: How losses and gradients are computed. ``"one-pass"``: each group's
                points through their own copies of the parameters, and one backward for all;
                ``"per-group"``: one backward per group on DeepXDE's own losses. ``None`` takes
                the one-pass engine wherever it gives the same result, and checks that it does;
                with fewer than 300 points it takes the other, which is then faster.
                ``"compiled"``, for long trainings: the one-pass engine's iteration, compiled by
                ``torch.compile`` (up to a minute) and then faster; equal to rounding. Residuals
                and conditions may read tensors that change in place, but nothing else that
                changes during a training: that is checked every 499 iterations, when points
                change and when training ends, and a RuntimeError (a warning, and training goes
                on uncompiled, where it is so little that it might be rounding). Not with NNCG or
                mixed precision; where else it can't be used (no C++ compiler), a warning says
                so and training goes on uncompiled.

        Raises:
            ValueError: If a name is unknown, a number of weights is not that of the terms, a
                weight is negative or not finite, the groups don't fit the conditions, or the
                strategy can't balance this problem, or an engine is asked for where it can't be
                right. The model then stays as it was.
            TypeError: If `loss_weights` or `loss_groups` is of the wrong type.
        """
        if loss_weights is None and self._step is not None and self._step.weighting.adapted:
            warnings.warn(
                "Compiled without loss_weights, the model has weight 1 for all from now on: "
                'give "keep" to go on with the weights of the phase before.',
                stacklevel=2,
            )
        check_engine_name(gradient_engine, self.data, self.net, optimizer)
        step, numbers = prepare(self, loss_weights, loss_groups, loss, gradient_engine)
        if step is not None:
            check_optimizer(step.weighting, optimizer)
        before = dict(vars(self))
        try:
            super().compile(
                optimizer,
                lr=lr,
                loss=loss,
                metrics=metrics,
                decay=decay,
                loss_weights=numbers,
                external_trainable_variables=external_trainable_variables,
                verbose=verbose,
            )
        except BaseException:
            self.__dict__.update(before)
            raise
        problem = problem_of(self.data)
        if problem is not None:
            mend_targets(problem, external_variables(self))
        self._step, self._engine_to_be = step, None
        self._pending, self._lbfgs_start = None, 0
        if step is not None:
            step.weighting.attach(self.opt)
            self.train_step = step
        elif gradient_engine is not None or takes_one_pass(self.data, self.net):
            self._engine_to_be = gradient_engine or "one-pass"
            self.train_step = partial(self._first_step, gradient_engine)

    def _first_step(self, gradient_engine: EngineName | None, *batch: Any) -> None:
        """The first iteration with weight 1 for all, whose terms were not asked for before."""
        groups = group_terms(find_terms(self))
        self._step = start_step(self, Equal(), groups, gradient_engine)
        self.train_step = self._step
        self._step(*batch)

    @property
    def weighting(self) -> Weighting | None:
        """The weighting at work, with its state; ``None`` before training with weight 1 for all."""
        return None if self._step is None else self._step.weighting

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are applied now, by group name; by term with a list of numbers.

        Terms listed as ``"unweighted"`` are not in it. With weight 1 for all, it is empty until
        the first evaluation of the losses.
        """
        if self._step is not None:
            return self._step.group_weights()
        return dict.fromkeys(group_terms(self._terms).names, 1.0) if self._terms else {}

    @property
    def loss_terms(self) -> list[str]:
        """The names of the loss terms, in the order of `losshistory.loss_train`'s columns.

        With weight 1 for all, it is empty until the first evaluation of the losses. An L1
        regularization, DeepXDE's last column, is no loss term.
        """
        return [term.name for term in self._terms]

    @property
    def _terms(self) -> tuple[Term, ...]:
        if self._step is not None:
            return self._step.engine.groups.terms
        if self.train_state.loss_train is None:
            return ()
        return name_terms(self.data, len(self.train_state.loss_train) - has_l1(self.net))

    @property
    def gradient_engine(self) -> str:
        """The gradient engine in use: ``"one-pass"``, ``"compiled"`` or ``"per-group"``.

        See `compile`.

        ``"per-group"`` also where DeepXDE's own step trains, with weight 1 for all.
        """
        if self._step is not None:
            return self._step.engine.name
        return self._engine_to_be or "per-group"

    def _outputs_losses(
        self, training: bool, inputs: Any, targets: Any, auxiliary_vars: Any
    ) -> list[np.ndarray]:
        """DeepXDE's leaves every parameter trainable, or frozen if it is interrupted."""
        trainable = [(p, p.requires_grad) for p in self.net.parameters()]
        try:
            return super()._outputs_losses(training, inputs, targets, auxiliary_vars)
        finally:
            for parameter, was_trainable in trainable:
                parameter.requires_grad_(was_trainable)

    def _test(self, verbose: int = 1) -> None:
        if reason_against(self.data, self.net) is None and refresh_test_points(self.data):
            self.train_state.set_data_test(*self.data.test())
        super()._test(verbose=verbose)
        self.losshistory.loss_weights.append(self.weights)
        if self._step is not None:
            self._step.warn_at_record()
            # Now, for callbacks may soon change points and numbers for what comes next; each of
            # L-BFGS's long steps may be its last.
            if self._in_train and self._last_step in (None, self.train_state.step):
                self._step.engine.confirm()

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
        again. From a checkpoint of a stock ``dde.Model`` the weights start afresh, and a warning
        says so.

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
