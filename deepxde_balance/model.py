"""A DeepXDE model whose loss weights adapt."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import deepxde as dde
import numpy as np
import torch

from . import weightings
from .engine import EngineName, check_engine_name, reason_against, takes_one_pass
from .gradients import external_variables
from .probe import find_terms
from .step import TrainStep, has_l1, keep_step, start_step
from .targets import mend_targets, refresh_test_points
from .terms import LossGroups, Term, check_length, group_terms, name_terms, problem_of, ungrouped
from .weightings import Equal, Fixed, Keep, Weighting
from .weightings._checks import factor, is_number

LossWeights = str | Weighting | Sequence[float] | np.ndarray | torch.Tensor | None


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

        Raises:
            ValueError: If a name is unknown, a number of weights is not that of the terms, a
                weight is negative or not finite, the groups don't fit the conditions, or the
                strategy can't balance this problem, or the one-pass engine is asked for where it
                can't be right. The model then stays as it was.
            TypeError: If `loss_weights` or `loss_groups` is of the wrong type.
        """
        if loss_weights is None and self._step is not None and self._step.weighting.adapted:
            warnings.warn(
                "Compiled without loss_weights, the model has weight 1 for all from now on: "
                'give "keep" to go on with the weights of the phase before.',
                stacklevel=2,
            )
        check_engine_name(gradient_engine, self.data, self.net)
        step, numbers = self._prepare(loss_weights, loss_groups, loss, gradient_engine)
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
        self._step, self._engine_to_be = step, None
        if step is not None:
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

    def _prepare(
        self,
        loss_weights: LossWeights,
        loss_groups: LossGroups | None,
        loss: Any,
        engine: EngineName | None,
    ) -> tuple[TrainStep | None, list[float] | None]:
        """The step of a strategy, and the numbers that DeepXDE is to weigh its losses with."""
        if loss_weights is None:
            loss_weights = "equal"
        if not isinstance(loss_weights, (str, Weighting)):
            numbers = _checked_numbers(loss_weights)
            if loss_groups is not None:
                raise ValueError(
                    "A list of numbers weighs each loss term by itself: leave loss_groups out."
                )
            terms = self._find_terms(loss)
            check_length("loss_weights", numbers, terms)
            return start_step(self, Fixed(numbers), ungrouped(terms), engine), numbers
        weighting = copy.deepcopy(weightings.get(loss_weights))
        if isinstance(weighting, Keep):
            if loss_groups is not None:
                raise ValueError(
                    '"keep" keeps the groups of the phase before: leave loss_groups out.'
                )
            return self._kept(engine)
        if isinstance(weighting, Equal) and loss_groups is None and weighting.scale is None:
            return None, None  # nothing to find out before training
        groups = group_terms(self._find_terms(loss), loss_groups)
        return start_step(self, weighting, groups, engine), None

    def _find_terms(self, loss: Any) -> tuple[Term, ...]:
        """The loss terms, found with another model, so that an error leaves this one as it was."""
        model = dde.Model(self.data, self.net)
        model.compile("sgd", lr=1.0, loss=loss, verbose=0)
        return find_terms(model)

    def _kept(self, engine: EngineName | None) -> tuple[TrainStep | None, list[float] | None]:
        """What `_prepare` gives for the weights of the phase before."""
        if self.opt is None:
            raise ValueError(
                '"keep" keeps the weights of the phase before, but this model has not been '
                "compiled yet: compile it with a strategy and train it first."
            )
        if self._step is None:
            return None, None
        if self._step.weighting.dynamic and not self._step.weighting.adapted:
            raise ValueError(
                '"keep" keeps the weights of the phase before, but this model has not been trained '
                "since it was compiled: its weights are all 1."
            )
        before = self._step.engine
        step = keep_step(self, before.groups, before.scale, self._step.weighting.weights, engine)
        return step, self.loss_weights

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
        """The gradient engine in use: ``"one-pass"`` or ``"per-group"``, see `compile`.

        ``"per-group"`` also where DeepXDE's own step trains, with weight 1 for all.
        """
        if self._step is not None:
            return self._step.engine.name
        return self._engine_to_be or "per-group"

    def _outputs_losses(
        self, training: bool, inputs: Any, targets: Any, auxiliary_vars: Any
    ) -> list[np.ndarray]:
        """DeepXDE's, which leaves every parameter trainable; here frozen ones stay frozen."""
        frozen = [p for p in self.net.parameters() if not p.requires_grad]
        outputs_losses = super()._outputs_losses(training, inputs, targets, auxiliary_vars)
        for parameter in frozen:
            parameter.requires_grad_(False)
        return outputs_losses

    def _test(self, verbose: int = 1) -> None:
        if reason_against(self.data, self.net) is None and refresh_test_points(self.data):
            self.train_state.set_data_test(*self.data.test())
        super()._test(verbose=verbose)
        self.losshistory.loss_weights.append(self.weights)
        if self._step is not None:
            self._step.warn_skipped()

    def restore(self, save_path: str, device: str | None = None, verbose: int = 0) -> None:
        """Restores what ``dde.Model.save`` saves: network and optimizer; the weights stay."""
        super().restore(save_path, device=device, verbose=verbose)
        if self._step is not None and self._step.weighting.dynamic:
            warnings.warn(
                "A checkpoint does not hold the loss weights yet: they go on from what they are "
                f"now, {self.weights}.",
                stacklevel=2,
            )


def _checked_numbers(loss_weights: Any) -> list[float]:
    """A list of floats from what was given as `loss_weights`."""
    if isinstance(loss_weights, (np.ndarray, torch.Tensor)):
        loss_weights = loss_weights.tolist()
    if not isinstance(loss_weights, (list, tuple)) or not all(map(is_number, loss_weights)):
        raise TypeError(
            f"loss_weights={loss_weights!r} is not allowed: give the name of a strategy "
            f"({', '.join(weightings.names())}), a weighting object, a list of numbers or None."
        )
    return [factor(f"loss_weights[{i}]", w) for i, w in enumerate(loss_weights)]
