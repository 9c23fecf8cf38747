"""A DeepXDE model whose loss weights adapt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import deepxde as dde
import numpy as np
import torch

from ._deepxde import lbfgs
from ._deepxde.batch import problem_of
from ._deepxde.stock_model import StockModel
from ._deepxde.target_cache import mend_targets
from ._deepxde.test_points import TestPoints
from .checkpoints import checkpoint
from .gradients.base import external_variables
from .gradients.choose import EngineName, check_engine_name, reason_against, takes_one_pass
from .terms.find_terms import find_terms
from .terms.groups import LossGroups, group_terms
from .terms.term import Term, name_terms
from .training.build_step import (
    LossWeights,
    build_step,
    check_optimizer,
    checked_numbers,
    start_step,
    step_with_numbers,
)
from .training.run import TrainingRun, run_of, unchanged_on_error
from .training.step import has_l1
from .weightings import Equal, Weighting


class Model(StockModel):
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

    #: As in DeepXDE: what its losses are multiplied with.
    loss_weights: Any

    def __init__(self, data: dde.data.Data, net: torch.nn.Module):
        super().__init__(data, net)
        #: The numbers in DeepXDE's `loss_weights` that are applied.
        self._numbers: list[float] | None = None
        self._refresh_test_points()
        self.losshistory.loss_weights = []

    @property
    def _run(self) -> TrainingRun:
        return run_of(self)

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

                - the name of a strategy (see :func:`deepxde_balance.weightings.names`), with
                  parameters if there are any: ``"dn:beta=0.9,update_every=10"``. Type checkers
                  know the names alone; ``weightings.get("dn:beta=0.9")`` is the typed way to a
                  name with parameters or one of your own (:func:`deepxde_balance.register`);
                - a weighting object, e.g. ``ddb.DB("kurtosis", update_every=10)``;
                - a list of numbers, one per loss term: fixed weights, as in DeepXDE; a script may
                  change `model.loss_weights` during training, which under a strategy is a
                  ValueError;
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
                mixed precision; where else it can't be used (no C++ compiler, points that are
                new more often than every 100 iterations), a warning says so and training goes
                on uncompiled.

        Raises:
            ValueError: If a name is unknown, a number of weights is not that of the terms, a
                weight is negative or not finite, the groups don't fit the conditions, or the
                strategy can't balance this problem, or an engine is asked for where it can't be
                right. The model then stays as it was.
            TypeError: If `loss_weights` or `loss_groups` is of the wrong type.
        """
        before = self.weighting
        if loss_weights is None and before is not None and before.adapted:
            warnings.warn(
                "Compiled without loss_weights, the model has weight 1 for all from now on: "
                'give "keep" to go on with the weights of the phase before.',
                stacklevel=2,
            )
        check_engine_name(gradient_engine, self.data, self.net, optimizer)
        step, numbers = build_step(
            self, self._run, loss_weights, loss_groups, loss, gradient_engine
        )
        if step is not None:
            check_optimizer(step.weighting, optimizer)
        with unchanged_on_error(self):
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
            problem = problem_of(self.data)
            if problem is not None:
                mend_targets(problem, external_variables(self))
            if numbers is not None and not isinstance(loss_weights, str):
                self.loss_weights = loss_weights  # the script's own list, which it may change
            self._numbers = None if numbers is None else checked_numbers(numbers)
            run = self._run
            run.step, run.engine_asked = step, gradient_engine
            run.pending, run.lbfgs_start = None, 0
            if step is not None:
                step.weighting.attach(self.opt)
                self.train_step = step
            elif gradient_engine is not None or takes_one_pass(self.data, self.net):
                self.train_step = self._first_step

    @property
    def train_step(self) -> Callable[..., None] | None:
        """What makes one iteration of training, by the weights as they are now."""
        self._follow_loss_weights()
        return self._train_step_now

    @train_step.setter
    def train_step(self, step: Callable[..., None] | None) -> None:
        self._train_step_now = step

    def _first_step(self, *batch: Any) -> None:
        """The first iteration with weight 1 for all, whose terms were not asked for before."""
        run = self._run
        step = start_step(self, Equal(), group_terms(find_terms(self)), run.engine_asked)
        if self._numbers is not None:
            step = step_with_numbers(self, step, self._numbers, run.engine_asked)
        run.step = self.train_step = step
        step(*batch)

    def _follow_loss_weights(self) -> None:
        """Applies the numbers that a script has set as `loss_weights` since it was compiled."""
        given, run = self.loss_weights, self._run
        if given is None and self._numbers is None:
            return
        if isinstance(given, list) and given == self._numbers:
            return  # the rule, in every iteration
        numbers = None if given is None else checked_numbers(given)
        if numbers == self._numbers:
            return
        if run.step is not None:
            run.step = step_with_numbers(self, run.step, numbers, run.engine_asked)
            self.train_step = run.step
        self._numbers = numbers

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are applied now, by group name; by term with a list of numbers.

        Terms listed as ``"unweighted"`` are not in it. With weight 1 for all, it is empty until
        the first evaluation of the losses.
        """
        self._follow_loss_weights()
        if self._run.step is not None:
            return self._run.step.group_weights()
        if self._numbers is not None:
            return dict(zip(self.loss_terms, self._numbers, strict=False))
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
        if self._run.step is not None:
            return self._run.step.engine.groups.terms
        if self.train_state.loss_train is None:
            return ()
        return name_terms(self.data, len(self.train_state.loss_train) - has_l1(self.net))

    @property
    def gradient_engine(self) -> str:
        """The gradient engine in use: ``"one-pass"``, ``"compiled"`` or ``"per-group"``.

        See `compile`.

        ``"per-group"`` also where DeepXDE's own step trains, with weight 1 for all.
        """
        if self._run.step is not None:
            return self._run.step.engine.name
        if self._train_step_now == self._first_step:
            return self._run.engine_asked or "one-pass"
        return "per-group"

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

    def _refresh_test_points(self) -> bool:
        """Whether DeepXDE's test points had to follow the conditions' points."""
        if reason_against(self.data, self.net) is not None:
            return False
        run = self._run
        if run.test_points is None or run.test_points.problem is not self.data:
            run.test_points = TestPoints(self.data)
        return run.test_points.refresh()

    def _test(self, verbose: int = 1) -> None:
        if self._refresh_test_points():
            self.train_state.set_data_test(*self.data.test())
        super()._test(verbose=verbose)
        if not hasattr(self.losshistory, "loss_weights"):  # a script has started another one
            self.losshistory.loss_weights = []
        self.losshistory.loss_weights.append(self.weights)
        run = self._run
        if run.step is not None:
            run.step.check_at_record()
            # Now, for callbacks may soon change points and numbers for what comes next; each of
            # L-BFGS's long steps may be its last.
            if run.in_training and run.last_step in (None, self.train_state.step):
                run.step.engine.confirm()

    @property
    def weighting(self) -> Weighting | None:
        """The weighting at work, with its state; ``None`` before training with weight 1 for all."""
        step = self._run.step
        return None if step is None else step.weighting

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
        checkpoint.write(self, self._run, path)
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
        saved = checkpoint.read(save_path, place)
        with unchanged_on_error(self):
            checkpoint.restore(self, self._run, saved, save_path)
        weighting = self.weighting
        if self._run.pending is None and weighting is not None and weighting.dynamic:
            weighting.reset(len(weighting.weights), like=weighting.weights)
            warnings.warn(
                f"{save_path} is DeepXDE's own checkpoint, without loss weights: they start "
                "afresh, with 1 for all.",
                stacklevel=2,
            )

    def _train_sgd(self, iterations: int, display_every: int, verbose: int = 1) -> None:
        with self._training():
            if not self.stop_training:
                self._run.last_step = self.train_state.step + iterations
                super()._train_sgd(iterations, display_every, verbose=verbose)

    def _train_pytorch_lbfgs(self, verbose: int = 1) -> None:
        """DeepXDE's counts an optimizer's earlier iterations again."""
        run = self._run
        if run.pending is None or not run.pending.state["in_train"]:
            run.lbfgs_start = lbfgs.iterations(self.opt)
        run.last_step = None
        with self._training():
            lbfgs.train(self, run.lbfgs_start, verbose)

    @contextmanager
    def _training(self) -> Iterator[None]:
        """Around the iterations, after training has begun."""
        run = self._run
        # A checkpoint is to hold what the other callbacks did in the same iteration.
        self.callbacks.callbacks.sort(key=lambda c: isinstance(c, dde.callbacks.ModelCheckpoint))
        if run.pending is not None:
            run.pending.begin(self)
            run.pending = None
        if run.step is not None:
            run.step.engine.begin()
        run.in_training = True
        try:
            yield
        finally:
            run.in_training = False
        if run.step is not None:
            run.step.engine.confirm()
