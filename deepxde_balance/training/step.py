"""One training iteration under a weighting."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde import lbfgs
from .._deepxde.batch import Batch
from .._deepxde.nncg import is_nncg
from .._deepxde.no_trace import unchanged_buffers
from ..gradients.base import GradientEngine, IterationGradients
from ..gradients.ntk_traces import kernel_traces
from ..terms.same_terms import check_same_number
from ..weightings import Equal, Fixed, Weighting
from ..weightings.base import Reads
from ..weightings.kinds import FromKernel, FromLossesAndKernel
from . import lbfgs_step
from .loss_check import LossCheck, in_words
from .loss_units import with_factors
from .parameter_gradients import forget_gradients, parameter_gradients, set_gradients
from .point_weights import PointWeights
from .weigh_points import PointRules
from .weight_warnings import WeightWarnings

#: Point weights below this are small beside weight 1. A convention.
_SMALL = 0.1


class TrainStep:
    """One training iteration, in place of a DeepXDE model's `train_step`.

    The engine computes the losses and the gradients of the groups, the weighting updates the
    weights from them, and the optimizer gets the weighted sum of the gradients. In an iteration
    whose update does not read the groups' gradients, one backward of the weighted loss gives the
    same gradient at less cost. The weights change at most once in an
    iteration: an optimizer that evaluates the loss several times in a step (L-BFGS, NNCG) sees the
    same weights each time.

    A *row* is a group, or the one last row of all unweighted terms.

    Args:
        model: A compiled ``dde.Model``.
        weighting: The weighting, with one weight for each group of `engine`.
        engine: The engine that computes losses and gradients.
        first_record: Index of the step's first record in the loss history.
        rules: The point weightings of the terms, by position.
    """

    def __init__(
        self,
        model: dde.Model,
        weighting: Weighting,
        engine: GradientEngine,
        first_record: int,
        rules: PointRules | None = None,
    ):
        self.model = model
        self.weighting = weighting
        self.engine = engine
        self.warnings = WeightWarnings(weighting, engine.groups, engine.scale, first_record)
        #: The point weights, inside the losses; ``None`` if there are none.
        self.points = PointWeights.of(model, weighting, engine, rules or {})
        self._measure = self.points
        self._forget_losses()
        #: The matrix (rows, terms) that turns term losses into row losses: each term's static
        #: factor in its row.
        self._terms_to_rows = weighting.weights.new_tensor(
            [
                [engine.scale[i] if i in row else 0.0 for i in range(len(engine.groups.terms))]
                for row in engine.groups.rows
            ]
        )
        #: The number of iterations that were asked of it.
        self.calls = 0
        #: If set, the step that makes the iterations instead.
        self.successor: TrainStep | None = None
        #: If set, called before each iteration. It may put another step into the model, which then
        #: makes the iteration instead; it returns whether it did.
        self.hand_over: Callable[[], bool] | None = None
        #: DeepXDE's own step, which `LossWeighting` puts back when its training ends.
        self.replaced_step: Callable[..., None] | None = None

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Called at the end of a compile, with the network's optimizer.

        Raises:
            ValueError: If the weighting can't work with that optimizer.
        """
        self.weighting.attach(optimizer)
        per_step = lbfgs.iterations_per_step(optimizer)
        if per_step is None or not self.weighting.follows_drift:  # else they are put in proportion
            return
        for rule in dict.fromkeys(self.rules_beside.values()):
            bound = rule.small_until_second_update
            if bound is not None and bound < _SMALL:
                warnings.warn(
                    f"The point weights of {rule.rule} grow from 0 with each update, and this "
                    f"optimizer has one in up to {per_step} iterations: until the second they are "
                    f'at most {bound:g}, beside the other terms\' 1. Train with "adam" first, '
                    'then with loss_weights="keep".',
                    stacklevel=4,
                )

    @property
    def rules_beside(self) -> PointRules:
        """The point weightings beside the weighting, by term; empty where they are a part of it."""
        if self.points is None or self.weighting.reads is Reads.POINT_ERRORS:
            return {}
        return self.points.rules

    def frozen_rules(self) -> PointRules:
        """The point weightings beside the weighting with their present weights, which stay."""
        return self.points.frozen_rules() if self.points and self.rules_beside else {}

    def __call__(self, inputs: Any, targets: Any, auxiliary_vars: Any) -> None:
        self.calls += 1
        if self.successor is not None:
            self.successor(inputs, targets, auxiliary_vars)
        elif self.hand_over is not None and self.hand_over():
            self.model.train_step(inputs, targets, auxiliary_vars)
        else:
            self._iterate(Batch(inputs, targets, auxiliary_vars))

    def _iterate(self, batch: Batch) -> None:
        """One iteration: an update of the weights if it is due, and a step of the optimizer.

        The weights are updated in one of three places: in the closure, from losses and gradients;
        before the step, from kernel traces and for NNCG; after it, those of SA. Traces that are
        read beside the losses are read before the step. Point weights are updated in the first
        evaluation of the losses, or after the step.
        """
        due = self.weighting.due()
        if self.points is not None:
            self.points.begin(batch)
        if due and self.weighting.reads is Reads.LOSSES_AND_TRACES:
            self._read_traces(batch)
        with self.engine.iteration(batch, self._measure):
            self._optimize(self._closure(batch, due))
        if self.model.lr_scheduler is not None:
            self.model.lr_scheduler.step()
        if self.points is not None:
            self.points.after_step()
        self.weighting.iteration += 1

    @property
    def has_own_lbfgs(self) -> bool:
        """Whether L-BFGS is that of `lbfgs_step`: with weights 1 and numbers it is DeepXDE's."""
        deepxdes = isinstance(self.weighting, (Equal, Fixed)) and self.points is None
        return type(self.model.opt) is torch.optim.LBFGS and not deepxdes

    def _optimize(self, closure: Callable[[], Tensor]) -> None:
        """A step of the optimizer."""
        if self.has_own_lbfgs:
            lbfgs_step.step(self.model.opt, closure)
        else:
            self.model.opt.step(closure)

    def _closure(self, batch: Batch, due: bool) -> Callable[[], Tensor]:
        """The function that the optimizer calls, perhaps several times in a step, for the loss.

        Args:
            batch: The points.
            due: Whether the weights are to be updated.
        """
        needs_graph, first = is_nncg(self.model.opt), True
        if due and (needs_graph or self.weighting.reads is Reads.KERNEL_TRACES):
            self._update_before(batch)
            due = False

        def closure() -> Tensor:
            nonlocal due, first
            updates, due = due, False  # only the first evaluation in a step updates the weights
            noted, first = first, False
            forget_gradients(self.model.opt)
            if needs_graph:
                losses = torch.stack(self.engine.losses(batch, self._measure))
                if noted:
                    self._note(losses)
                return self._loss(losses)
            reads_gradients = updates and self.weighting.reads is Reads.GRADIENTS
            if reads_gradients or self.engine.prefers_gradients:  # some engines have them anyway
                return self._by_gradients(batch, updates, noted)
            return self._by_losses(batch, updates, noted)

        return closure

    def _forget_losses(self) -> None:
        """Forgets the losses that were noted: the iterations to come are other ones."""
        self._loss_check = LossCheck()
        self._told_not_finite = False

    def _note(self, losses: Tensor) -> None:
        """Notes the losses of an iteration, to find one that is not finite."""
        self._loss_check.note(self.model.train_state.step, losses)

    def _by_gradients(self, batch: Batch, updates: bool, noted: bool) -> Tensor:
        """Sets the parameters' gradients to the weighted sum of the groups'; returns the loss."""
        with autocast():
            computed = self.engine.gradients(batch, self._measure)
        if noted:  # a copy, since a compiled engine may write the next losses there
            self._note(computed.losses.clone())
        row_losses = self._row_losses(computed.losses)
        if updates:
            self._update(row_losses, computed)
        weights = self._per_row(self.weighting.group_multipliers)
        penalty = self._penalty()
        parameters = computed.parameters.all
        values = computed.values  # in double precision, perhaps, and kept weights from single
        flat = weights.to(values.dtype) @ values
        gradients = parameter_gradients(flat, parameters, computed.reached)
        set_gradients(parameters, gradients, penalty)
        loss = torch.dot(weights, row_losses)
        return loss + penalty if isinstance(penalty, Tensor) else loss

    def _by_losses(self, batch: Batch, updates: bool, noted: bool) -> Tensor:
        """Sets the parameters' gradients by a backward of the weighted loss; returns the loss."""
        with autocast():
            losses = torch.stack(self.engine.losses(batch, self._measure))
        if noted:
            self._note(losses)
        if updates:
            self._update(self._row_losses(losses.detach()))
        with autocast():
            loss = self._loss(losses)
            loss.backward(inputs=self.engine.parameters().all)
        return loss

    @torch.no_grad()
    def _update(self, row_losses: Tensor, computed: IterationGradients | None = None) -> None:
        """Updates the weights from losses and gradients.

        Args:
            row_losses: The unweighted loss of every row, shape (number of rows,).
            computed: The gradients; they may be left out where the weighting does not read them.
        """
        num_groups = len(self.engine.groups.names)
        group_losses = row_losses[:num_groups]  # without that of unweighted terms
        if self.weighting.reads.from_losses:
            self.weighting.update_and_check(group_losses)
        elif self.weighting.reads is Reads.GRADIENTS:
            assert computed is not None
            gradients = computed.of_network(num_groups)
            if self.warnings.units.wants:
                self.warnings.units.note(group_losses, gradients.max_abs())
            self.weighting.update_and_check(group_losses, gradients)

    def _update_before(self, batch: Batch) -> None:
        """Updates the weights by an extra evaluation before the optimizer's step.

        That is for kernel traces, and for NNCG, whose loss must keep its graph.
        """
        if self.weighting.reads is Reads.KERNEL_TRACES:
            assert isinstance(self.weighting, FromKernel)
            traces = self._traces(batch, self.weighting.exact, self.weighting.probes)
            self.weighting.update_and_check(traces)
        elif self.weighting.reads is Reads.GRADIENTS:
            computed = self.engine.gradients(batch, self._measure)
            self._update(self._row_losses(computed.losses), computed)
        elif self.weighting.reads.from_losses:
            losses = torch.stack(self.engine.losses(batch, self._measure)).detach()
            self._update(self._row_losses(losses))

    def _read_traces(self, batch: Batch) -> None:
        """Gives the weighting the traces that its coming update reads, if it reads any."""
        assert isinstance(self.weighting, FromLossesAndKernel)
        probes = self.weighting.probes_due()
        if probes > 0:
            self.weighting.take_traces(self._traces(batch, self.weighting.exact, probes))

    def _traces(self, batch: Batch, exact: bool, probes: int) -> Tensor:
        """The groups' kernel traces, shape (K,), in the weights' type."""
        with autocast(), unchanged_buffers(self.model.net):
            weigh = None if self.points is None else self.points.weigh
            traces = kernel_traces(self.engine, batch, exact, probes, weigh)
        traces = traces.to(self._terms_to_rows)
        if self.warnings.units.wants:
            self.warnings.units.note_traces(traces)
        return traces

    def _loss(self, losses: Tensor) -> Tensor:
        """The loss to minimise, shape (): the weighted sum of the terms and the regularization."""
        return (
            torch.sum(losses * self._per_term(self.weighting.group_multipliers)) + self._penalty()
        )

    def term_weights(self) -> Tensor:
        """Each term's weight, in the order of DeepXDE's losses; 0 for a static factor 0."""
        rows = self._per_row(self.weighting.weights)
        return (rows.unsqueeze(1) * (self._terms_to_rows != 0)).sum(dim=0)

    def weights_of_losses(self) -> np.ndarray | None:
        """Each loss's weight in a record, copied to the host.

        The record's last loss may be an L1 regularization, of weight 1.

        Returns:
            The weights; ``None`` if all are 1, or if the method has negative ones, with which a
            lower weighted loss is not better.
        """
        weights = self.term_weights().numpy(force=True)
        weights = np.append(weights, np.ones(int(has_l1(self.model.net))))
        useless = (weights == 1).all() or (weights < 0).any() or self.weighting.may_be_negative
        return None if useless else weights

    def _per_term(self, group_values: Tensor) -> Tensor:
        """For each term the value of its group times its static factor."""
        # Autocast would compute a matrix product in half precision.
        return (self._per_row(group_values).unsqueeze(1) * self._terms_to_rows).sum(dim=0)

    def scaled(self, losses: np.ndarray) -> np.ndarray:
        """A record's losses with the static factors, in the units in which they are balanced.

        Args:
            losses: The losses of the terms, and perhaps last an L1 regularization, which stays.
        """
        return with_factors(losses, self.engine.scale)

    def group_weights(self) -> dict[str, float]:
        """The present weights by group name, copied to the host."""
        return dict(zip(self.engine.groups.names, self.weighting.weights.tolist(), strict=True))

    def start_afresh(self) -> None:
        """Sets the weights, and those of points, to their start."""
        self._forget_losses()
        self.weighting.reset(len(self.weighting.weights), like=self.weighting.weights)
        if self.points is not None:
            self.points.reset()

    def check_weights(self) -> None:
        """Checks that all weights so far were allowed. Copies to the host.

        Raises:
            RuntimeError: If one was not.
        """
        self.weighting.check_weights(self.engine.groups.names)

    def check_losses(self) -> None:
        """Warns once of losses that were not finite. Copies to the host."""
        if self._told_not_finite:
            return
        terms = self.engine.groups.terms
        first, state = self._loss_check.first_invalid(), self.model.train_state
        if not first and state.loss_train is not None:  # no iteration was made before the record
            first = [None if np.isfinite(loss) else state.step for loss in state.loss_train]
        found = {
            term.name: iteration
            for term, iteration in zip(terms, first, strict=False)
            if iteration is not None
        }
        if found:
            self._told_not_finite = True
            warnings.warn(in_words(found, self.model, terms), stacklevel=4)

    def follow_points_of(self, before: TrainStep) -> None:
        """Lets weights of points go on from the points that an earlier step has seen last."""
        if self.points is not None and before.points is not None:
            self.points.follow_points_of(before.points)

    def check_at_record(self) -> None:
        """Called after a record in the loss history, when the host waits for the device anyway.

        Raises:
            RuntimeError: If an update set a weight that is not allowed, or the number of loss terms
                has changed.
        """
        number = len(self.model.train_state.loss_train) - has_l1(self.model.net)
        check_same_number(number, self.engine.groups.terms)
        self.check_losses()
        self.check_weights()
        self.warnings.warn(self.model.losshistory)

    def state_dict(self) -> dict[str, Any]:
        """The step's part of a checkpoint, besides the weighting's state."""
        points = {} if self.points is None else {"points": self.points.state_dict()}
        return {"first_record": self.warnings.first_record, **points}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        self._forget_losses()
        self.warnings.first_record = state["first_record"]
        if self.points is not None:
            self.points.load_state_dict(state["points"])

    def _per_row(self, group_values: Tensor) -> Tensor:
        """The groups' values, and 1 for the row of unweighted terms, if there is one."""
        if not self.engine.groups.unweighted:
            return group_values
        return torch.cat([group_values, group_values.new_ones(1)])

    def _row_losses(self, losses: Tensor) -> Tensor:
        """The scaled sum of each row's losses, from the losses of all terms."""
        return self._terms_to_rows @ losses.to(self._terms_to_rows)

    def _penalty(self) -> Tensor | float:
        """The L1 regularization. The optimizer applies an L2 regularization as weight decay."""
        if not has_l1(self.model.net):
            return 0.0
        strength: float = self.model.net.regularizer[1]
        norm: Tensor = sum(p.abs().sum() for p in self.model.net.parameters())
        return strength * norm


def factors_of(step: TrainStep | None) -> tuple[float, ...]:
    """The static factors of a step's terms; empty where DeepXDE's own step trains."""
    return () if step is None else step.engine.scale


def has_l1(net: torch.nn.Module) -> bool:
    """Whether DeepXDE appends an L1 regularization to the list of losses."""
    regularizer: Any = net.regularizer
    return regularizer is not None and regularizer[0] == "l1" and regularizer[1] > 0


def autocast() -> AbstractContextManager[Any]:
    """The context of DeepXDE's mixed precision; an empty one if mixed precision is off."""
    if not dde.config.mixed:
        return nullcontext()
    return torch.autocast(device_type=torch.get_default_device().type, dtype=torch.float16)
