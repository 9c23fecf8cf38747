"""A DeepXDE model whose loss weights adapt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch

from ._deepxde.batch import problem_of
from ._deepxde.target_cache import mend_targets
from ._deepxde.test_points import TestPoints
from .gradients.base import external_variables
from .gradients.choose import EngineName, check_engine_name, reason_against, takes_one_pass
from .resumable import ResumableModel
from .terms.find_terms import find_terms
from .terms.groups import LossGroups, group_terms
from .terms.term import Term, name_terms
from .training.build_step import (
    LossWeights,
    check_optimizer,
    checked_numbers,
    prepare,
    start_step,
    with_numbers,
)
from .training.step import has_l1
from .weightings import Equal


class Model(ResumableModel):
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
        self._engine_to_be: EngineName | None = None
        #: The numbers in DeepXDE's `loss_weights` that are applied.
        self._numbers: list[float] | None = None
        self._refresh_test_points()
        self.losshistory.loss_weights = []

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
        if numbers is not None and not isinstance(loss_weights, str):
            self.loss_weights = loss_weights  # the script's own list, which it may change
        self._step, self._numbers = step, None if numbers is None else checked_numbers(numbers)
        self._engine_asked, self._engine_to_be = gradient_engine, None
        self._pending, self._lbfgs_start = None, 0
        if step is not None:
            step.weighting.attach(self.opt)
            self.train_step = step
        elif gradient_engine is not None or takes_one_pass(self.data, self.net):
            self._engine_to_be = gradient_engine or "one-pass"
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
        groups = group_terms(find_terms(self))
        step = start_step(self, Equal(), groups, self._engine_asked)
        if self._numbers is not None:
            step = with_numbers(self, step, self._numbers, self._engine_asked)
        self._step = self.train_step = step
        step(*batch)

    def _follow_loss_weights(self) -> None:
        """Applies the numbers that a script has set as `loss_weights` since it was compiled."""
        given = self.loss_weights
        if given is None and self._numbers is None:
            return
        if isinstance(given, list) and given == self._numbers:
            return  # the rule, in every iteration
        numbers = None if given is None else checked_numbers(given)
        if numbers == self._numbers:
            return
        if self._step is not None:
            self._step = with_numbers(self, self._step, numbers, self._engine_asked)
            self.train_step = self._step
        self._numbers = numbers

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are applied now, by group name; by term with a list of numbers.

        Terms listed as ``"unweighted"`` are not in it. With weight 1 for all, it is empty until
        the first evaluation of the losses.
        """
        self._follow_loss_weights()
        if self._step is not None:
            return self._step.group_weights()
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

    def _refresh_test_points(self) -> bool:
        """Whether DeepXDE's test points had to follow the conditions' points."""
        if reason_against(self.data, self.net) is not None:
            return False
        if self._test_points is None or self._test_points.problem is not self.data:
            self._test_points = TestPoints(self.data)
        return self._test_points.refresh()

    def _test(self, verbose: int = 1) -> None:
        if self._refresh_test_points():
            self.train_state.set_data_test(*self.data.test())
        super()._test(verbose=verbose)
        if not hasattr(self.losshistory, "loss_weights"):  # a script has started another one
            self.losshistory.loss_weights = []
        self.losshistory.loss_weights.append(self.weights)
        if self._step is not None:
            self._step.warn_at_record()
            # Now, for callbacks may soon change points and numbers for what comes next; each of
            # L-BFGS's long steps may be its last.
            if self._in_train and self._last_step in (None, self.train_state.step):
                self._step.engine.confirm()
