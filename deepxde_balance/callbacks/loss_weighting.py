"""A DeepXDE callback: adaptive weights for a stock model."""

from __future__ import annotations

import copy
from typing import Any

import deepxde as dde

from .. import weightings
from .._deepxde.batch import problem_of
from .._deepxde.target_cache import mend_targets
from ..gradients.base import external_variables
from ..model import Model
from ..terms.find_terms import find_terms
from ..terms.groups import LossGroups, TermGroups, group_terms
from ..training.build_step import keep_step, start_step, step_with
from ..training.point_weights import check_reads
from ..training.run import run_of
from ..training.step import TrainStep
from ..weightings import Keep, StrategyName, Weighting


class LossWeighting(dde.callbacks.Callback):
    """Adaptive loss weights for a stock ``dde.Model``, whose class you can't change.

    The same strategies as :class:`~deepxde_balance.Model`, with the same weights and the same
    cost. Compile the model without `loss_weights` and pass this to its `train`. While it trains,
    this callback stands in for the model's training step, and puts it back afterwards.
    `loss_train` holds the unweighted losses; `losshistory.loss_weights` the weights, as with
    :class:`~deepxde_balance.Model`. Given again to a later `train` of the same model, it goes on
    from where it was, also when the model was compiled anew with another optimizer.

    Args:
        weighting: The name of a strategy, with parameters if there are any
            (``"dn:beta=0.9"``), or a weighting object, which is copied; for type checkers see
            :meth:`deepxde_balance.Model.compile`. ``"keep"``: the weights that the last
            LossWeighting of this model ended with, frozen.
        loss_groups: Which terms share a weight, see :meth:`deepxde_balance.Model.compile`.

    Raises:
        ValueError: If the name is unknown. At the start of training: if the groups don't fit
            the conditions, or the model was compiled with weights of its own.
        TypeError: If `weighting` is neither a name nor a weighting object.
    """

    def __init__(self, weighting: StrategyName | Weighting, loss_groups: LossGroups | None = None):
        super().__init__()
        self.weighting = copy.deepcopy(weightings.get(weighting))
        self.loss_groups = loss_groups
        self._step: TrainStep | None = None
        #: What the step was made for.
        self._groups: TermGroups | None = None
        self._optimizer: Any = None

    @property
    def weights(self) -> dict[str, float]:
        """The weights that are applied now, by group name; empty before training."""
        return {} if self._step is None else self._step.group_weights()

    def set_model(self, model: dde.Model) -> None:
        super().set_model(model)
        problem = problem_of(model.data)
        if problem is not None and model.opt is not None:
            mend_targets(problem, external_variables(model))

    def on_train_begin(self) -> None:
        model, run = self.model, run_of(self.model)
        self._refuse_weighted(model)
        there = model.train_step
        deepxde_step = there.stands_in_for if isinstance(there, TrainStep) else there
        groups = group_terms(find_terms(model), self.loss_groups)
        this_record = len(model.losshistory.steps) - 1  # that of the beginning has been made
        if isinstance(self.weighting, Keep):
            step = keep_step(model, self._phase_before(run.step), first_record=this_record)
        elif self._step is None or self._step.model is not model or self._groups != groups:
            check_reads(model, self.weighting)
            step = start_step(model, self.weighting, groups, first_record=this_record)
        elif self._optimizer is not model.opt:  # compiled anew: the weights go on
            scale = self._step.engine.scale
            step = step_with(model, self.weighting, groups, scale)
        else:
            step = self._step
        if self._optimizer is not model.opt:
            step.weighting.attach(model.opt)
        self._step, self._groups, self._optimizer = step, step.engine.groups, model.opt
        step.stands_in_for, step.gives_way = deepxde_step, self._gives_way
        run.step = model.train_step = step
        self._record()

    def _phase_before(self, before: TrainStep | None) -> TrainStep:
        """The step of the last LossWeighting of this model, whose weights are kept."""
        if before is not None:
            groups = before.engine.groups
            if self.loss_groups is None or group_terms(groups.terms, self.loss_groups) == groups:
                return before
        raise ValueError(
            '"keep" keeps the weights of the phase before, but no LossWeighting has trained '
            "this model with these groups: train it with a strategy first."
        )

    def on_batch_begin(self) -> None:
        self._refuse_weighted(self.model)

    def on_batch_end(self) -> None:
        if len(self.model.losshistory.steps) > len(self.model.losshistory.loss_weights):
            self._record()

    def on_train_end(self) -> None:
        assert self._step is not None
        self.model.train_step = self._step.stands_in_for

    def _gives_way(self) -> bool:
        """Puts DeepXDE's step back in a training without this callback.

        One that was interrupted has left ours behind.
        """
        if self in self.model.callbacks.callbacks:
            return False
        self.on_train_end()
        return True

    def _refuse_weighted(self, model: dde.Model) -> None:
        if isinstance(model, Model):
            raise ValueError(
                "LossWeighting is for a stock dde.Model: give the strategy of a "
                "deepxde_balance.Model to its compile(loss_weights=...)."
            )
        if model.loss_weights is not None:
            raise ValueError(
                f"The model has loss_weights={model.loss_weights!r}, which LossWeighting would not "
                "apply: compile it without, and give static factors to the weighting's `scale`."
            )
        if sum(isinstance(c, LossWeighting) for c in model.callbacks.callbacks) > 1:
            raise ValueError("Another LossWeighting weighs this model: give `train` one of them.")

    def _record(self) -> None:
        """Brings `losshistory.loss_weights` up to the length of `losshistory.steps`."""
        assert self._step is not None
        history = self.model.losshistory
        weights = self._step.group_weights()
        if not hasattr(history, "loss_weights"):
            history.loss_weights = []
        for _ in range(len(history.steps) - len(history.loss_weights) - 1):
            history.loss_weights.append(dict.fromkeys(weights, 1.0))  # trained without us
        history.loss_weights.append(weights)
        self._step.check_at_record()
