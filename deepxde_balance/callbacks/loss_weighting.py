"""A callback that gives a stock ``dde.Model`` adaptive weights."""

from __future__ import annotations

import copy
from typing import Any

import deepxde as dde
import numpy as np

from .. import weightings
from .._checks import positive_int
from .._deepxde.batch import problem_of
from .._deepxde.stock_model import is_stock_step
from .._deepxde.target_cache import mend_targets
from ..gradients.base import external_variables
from ..gradients.choose import EngineAsked, check_engine, takes_passes
from ..model import Model
from ..ranks import current
from ..terms.find_terms import find_terms
from ..terms.groups import LossGroups, TermGroups, group_terms
from ..terms.same_terms import check_same_terms
from ..terms.term import TermNames, rename
from ..training.best_step import TrainState, judge_by_weights
from ..training.build_step import check_points, go_on_step, keep_step, start_step
from ..training.check_reads import check_reads
from ..training.given_optimizer import check_trains
from ..training.hard_constraints import hard_constraints, weighed_groups
from ..training.loss_units import follow_change, with_factors
from ..training.run import run_of
from ..training.step import TrainStep, factors_of
from ..training.weigh_points import PointWeightsGiven, refuse_as_strategy
from ..weightings import Keep, StrategyName, Weighting


class LossWeighting(dde.callbacks.Callback):
    """Adaptive loss weights for a stock ``dde.Model``, where its class can't be changed.

    The strategies, their weights and their cost are those of :class:`~deepxde_balance.Model`.
    Compile the model without `loss_weights` and pass this callback to ``model.train``. During that
    training it replaces the model's training step. `losshistory.loss_train` has the unweighted
    losses, with the factors of the weighting's `scale`, and `losshistory.loss_weights` the weights,
    by which the best step is judged as in :class:`~deepxde_balance.Model`.

    The same object may be given to a later ``train`` of the same model. Its weights then go on
    from where they were, even if the model has been compiled with another optimizer in between.

    Args:
        weighting: The name of a strategy, with parameters if there are any
            (``"dn:beta=0.9"``), or a weighting object, which is copied. ``"keep"`` freezes the
            last weights of the LossWeighting that trained this model before. For type checkers
            see :meth:`deepxde_balance.Model.compile`.
        loss_groups: Which terms share a weight, see :meth:`deepxde_balance.Model.compile`.
        point_weights: Weights within a term, see :meth:`deepxde_balance.Model.compile`. With the
            weighting ``"equal"``, they are the only ones. ``"keep"`` keeps those before.
        points_per_pass: The largest number of points that go through the network together, see
            :meth:`deepxde_balance.Model.compile`. A record in the loss history is DeepXDE's own
            evaluation of all points at once.
        term_names: Names for PDE residuals, see :meth:`deepxde_balance.Model.compile`.

    Raises:
        ValueError: If the name is unknown, or `points_per_pass` is no integer of at least 1. At the
            start of training: if the groups don't fit the conditions, the model was compiled with
            `loss_weights`, or points can't be divided into passes.
        TypeError: If `weighting` is neither a name nor a weighting object.
        RuntimeError: In the first iteration, or when points change: if `points_per_pass` was given
            and a loss at all points is not the mean of that at parts of them.

    Example:
        >>> import deepxde as dde
        >>> import deepxde_balance as ddb
        >>> geometry = dde.geometry.TimeDomain(0, 1)
        >>> ic = dde.icbc.IC(geometry, lambda t: 1, lambda t, on_initial: on_initial)
        >>> def decay(t, u):
        ...     return dde.grad.jacobian(u, t) + u
        >>> data = dde.data.PDE(geometry, decay, [ic], num_domain=30, num_boundary=2)
        >>> model = dde.Model(data, dde.nn.FNN([1, 20, 1], "tanh", "Glorot normal"))
        >>> model.compile("adam", lr=1e-3, verbose=0)
        >>> weighting = ddb.LossWeighting("dn")
        >>> losshistory, train_state = model.train(
        ...     iterations=20, callbacks=[weighting], verbose=0
        ... )
        >>> list(weighting.weights)
        ['pde', 'ic0']
    """

    def __init__(
        self,
        weighting: StrategyName | Weighting,
        loss_groups: LossGroups | None = None,
        point_weights: PointWeightsGiven = None,
        points_per_pass: int | None = None,
        term_names: TermNames | None = None,
    ):
        super().__init__()
        refuse_as_strategy(weighting)
        self.weighting = copy.deepcopy(weightings.get(weighting))
        if isinstance(self.weighting, Keep) and point_weights is not None:
            raise ValueError(
                '"keep" keeps the point weights of the phase before, too: leave point_weights out.'
            )
        self.loss_groups = loss_groups
        self.point_weights = point_weights
        if points_per_pass is not None:
            positive_int("points_per_pass", points_per_pass)
        self.points_per_pass = points_per_pass
        if isinstance(self.weighting, Keep) and term_names is not None:
            raise ValueError('"keep" keeps the names of the phase before: leave term_names out.')
        self.term_names = term_names
        self._step: TrainStep | None = None
        #: The groups and the optimizer that the step was made for.
        self._groups: TermGroups | None = None
        self._optimizer: Any = None

    @property
    def weights(self) -> dict[str, float]:
        """The present weights by group name; empty before training."""
        return {} if self._step is None else self._step.group_weights()

    def set_model(self, model: dde.Model) -> None:
        super().set_model(model)
        problem = problem_of(model.data)
        if problem is not None and model.opt is not None:
            mend_targets(problem, external_variables(model))
        if not isinstance(model, Model):
            self._record_with_factors(model)
            TrainState.take_over(model)

    def _record_with_factors(self, model: dde.Model) -> None:
        """Lets the model record its losses with the static factors, and the weights beside them.

        The first record of a training is made before `on_train_begin`.
        """
        run, evaluate = run_of(model), type(model)._outputs_losses
        factors: tuple[float, ...] | None = None

        def outputs_losses(*args: Any) -> list[np.ndarray]:
            nonlocal factors
            outputs, losses = evaluate(model, *args)
            model.train_state.record_weights = None
            if self not in model.callbacks.callbacks:  # after a training that was interrupted
                return [outputs, losses]
            step = run.step if isinstance(self.weighting, Keep) else self._step
            if step is not None and step.model is model:
                model.train_state.record_weights = step.weights_of_losses()
            if factors is None:
                factors = self._factors()
                follow_change(model, factors_of(run.step), factors)
            return [outputs, with_factors(losses, factors)]

        model._outputs_losses = outputs_losses

    def _factors(self) -> tuple[float, ...]:
        """The static factors of the coming training's losses."""
        if isinstance(self.weighting, Keep):
            return factors_of(run_of(self.model).step)
        if self.weighting.scale is None:
            return ()
        asked = EngineAsked(points_per_pass=self.points_per_pass)
        groups = self._present_groups(takes_passes(asked, self.model.data, self.model.net))
        return groups.scale_factors(self.weighting.scale)

    def _present_groups(self, in_passes: bool) -> TermGroups:
        terms = rename(find_terms(self.model, in_passes), self.term_names)
        return group_terms(terms, self.loss_groups)

    def on_train_begin(self) -> None:
        model, run = self.model, run_of(self.model)
        self._refuse_weighted(model)
        present = model.train_step
        deepxde_step = present.replaced_step if isinstance(present, TrainStep) else present
        if not is_stock_step(deepxde_step):
            raise ValueError(
                "LossWeighting trains in the place of DeepXDE's train_step, and this model has one "
                "of the script's own, which would be lost: leave one of the two out."
            )
        asked = EngineAsked(points_per_pass=self.points_per_pass)
        check_engine(asked, model.data, model.net, model.opt)
        in_passes = takes_passes(asked, model.data, model.net)
        groups = self._present_groups(in_passes)
        groups = weighed_groups(model, self.weighting, groups, in_passes)
        this_record = len(model.losshistory.steps) - 1  # DeepXDE has recorded the initial losses
        if isinstance(self.weighting, Keep):
            before = self._step_before(run.step)
            check_same_terms(groups.terms, before.engine.groups.terms)
            check_reads(model, before.weighting, bool(before.rules_beside), in_passes)
            step = keep_step(model, before, asked, first_record=this_record)
        elif self._step is None or self._step.model is not model or self._groups != groups:
            check_reads(model, self.weighting, self.point_weights is not None, in_passes)
            # A copy: the step before may be of another model, which is to keep its weights.
            self.weighting = copy.deepcopy(self.weighting)
            step = start_step(
                model,
                self.weighting,
                groups,
                asked,
                first_record=this_record,
                point_weights=self.point_weights,
            )
            check_points(model, step)
        elif self._optimizer is not model.opt:  # the model was compiled again: the weights go on
            step = go_on_step(model, self._step, self.weighting, asked, first_record=this_record)
        else:
            step = self._step
            step.engine.begin()
        if self._optimizer is not model.opt:
            check_trains(model, model.opt_name, model.external_trainable_variables)
            step.attach(model.opt)
        self._step, self._groups, self._optimizer = step, step.engine.groups, model.opt
        step.replaced_step, step.hand_over = deepxde_step, self._hand_over
        run.step = model.train_step = step
        judge_by_weights(model.callbacks.callbacks)
        self._record_weights()

    def _step_before(self, before: TrainStep | None) -> TrainStep:
        """The step of the last LossWeighting of this model, for `"keep"`.

        Raises:
            ValueError: If there is none, or its groups are not those of `loss_groups`.
        """
        if before is not None:
            groups = before.engine.groups
            if self.loss_groups is None:
                return before
            present = group_terms(groups.terms, self.loss_groups)
            if groups in (present, present.without(hard_constraints(self.model, present))):
                return before
        raise ValueError(
            '"keep" keeps the weights of the phase before, but no LossWeighting has trained '
            "this model with these groups: train it with a strategy first."
        )

    def on_batch_begin(self) -> None:
        self._refuse_weighted(self.model)

    def on_batch_end(self) -> None:
        if len(self.model.losshistory.steps) > len(self.model.losshistory.loss_weights):
            self._record_weights()

    def on_train_end(self) -> None:
        assert self._step is not None
        self.model.train_step = self._step.replaced_step
        if "_outputs_losses" in vars(self.model):
            del self.model._outputs_losses
        self.model.train_state.record_weights = None
        self._step.check_weights()

    def _hand_over(self) -> bool:
        """Puts DeepXDE's step back if the model is now trained without this callback.

        That is needed after a training that was interrupted, where `on_train_end` was not called.

        Returns:
            Whether DeepXDE's step has been put back.
        """
        if self in self.model.callbacks.callbacks:
            return False
        assert self._step is not None
        self.model.train_step = self._step.replaced_step
        return True

    def _refuse_weighted(self, model: dde.Model) -> None:
        if isinstance(model, Model):
            raise ValueError(
                "LossWeighting is for a stock dde.Model: give the strategy of a "
                "deepxde_balance.Model to its compile(loss_weights=...)."
            )
        if current() is not None:
            raise ValueError(
                "After ddb.distributed(), only a deepxde_balance.Model is trained by several "
                "processes, not a stock dde.Model with a LossWeighting."
            )
        if model.loss_weights is not None:
            raise ValueError(
                f"The model has loss_weights={model.loss_weights!r}, which LossWeighting would not "
                "apply: compile it without, and give static factors to the weighting's `scale`."
            )
        if sum(isinstance(c, LossWeighting) for c in model.callbacks.callbacks) > 1:
            raise ValueError("Another LossWeighting weighs this model: give `train` one of them.")

    def _record_weights(self) -> None:
        """Appends the weights to `losshistory.loss_weights`, which gets as long as its `steps`."""
        assert self._step is not None
        history = self.model.losshistory
        weights = self._step.group_weights()
        if not hasattr(history, "loss_weights"):
            history.loss_weights = []
        missing = len(history.steps) - len(history.loss_weights) - 1
        for _ in range(missing):  # records of a training without this callback
            history.loss_weights.append(dict.fromkeys(weights, 1.0))
        history.loss_weights.append(weights)
        self._step.check_at_record()
