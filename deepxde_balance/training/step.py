"""One training iteration under a weighting."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import deepxde as dde
import torch
from torch import Tensor

from .._deepxde.batch import Batch
from ..gradients.base import GradientEngine, IterationGradients
from ..gradients.ntk_traces import kernel_traces
from ..weightings import GradientWeighting, Weighting
from ..weightings.base import FromGradients, FromKernel, FromLosses
from .parameter_gradients import set_gradients
from .weight_warnings import let_go


class TrainStep:
    """Stands in for a DeepXDE model's `train_step`: points in, weights and parameters updated.

    An iteration with an update from gradients takes the per-group gradients of its points,
    updates the weights from them and hands the optimizer their weighted sum; nothing is computed
    twice. An update from losses takes those of the iteration's one evaluation; one from kernel
    traces has a backward of its own. All else is one backward of the weighted sum. An optimizer
    that evaluates its closure several times in a step (L-BFGS, NNCG) sees the same weights in all.

    Args:
        model: A compiled ``dde.Model``.
        weighting: The weighting, reset to the groups of `engine`.
        engine: Gives losses and gradients.
    """

    def __init__(self, model: dde.Model, weighting: Weighting, engine: GradientEngine):
        self.model = model
        self.weighting = weighting
        self.engine = engine
        #: Row losses are this times the losses: the terms' factors where they belong to the row.
        self._terms_to_rows = weighting.weights.new_tensor(
            [
                [engine.scale[i] if i in row else 0.0 for i in range(len(engine.groups.terms))]
                for row in engine.groups.rows
            ]
        )
        #: Asked before each iteration whether the model has another step from now on.
        self.gives_way: Callable[[], bool] | None = None
        #: The step in whose place this one is.
        self.stands_in_for: Callable[..., None] | None = None
        #: The first record in the loss history that is of this step.
        self.first_record = len(model.losshistory.steps)
        self._warned: set[str] = set()
        self._warned_let_go = False

    def __call__(self, inputs: Any, targets: Any, auxiliary_vars: Any) -> None:
        if self.gives_way is not None and self.gives_way():
            self.model.train_step(inputs, targets, auxiliary_vars)
        else:
            self._iterate(Batch(inputs, targets, auxiliary_vars))

    def _iterate(self, batch: Batch) -> None:
        closure = (
            self._graph_closure(batch) if self.model.opt_name == "NNCG" else self._closure(batch)
        )
        self.model.opt.step(closure)
        if self.model.lr_scheduler is not None:
            self.model.lr_scheduler.step()
        self.weighting.iteration += 1

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the weighting's state."""
        return {"first_record": self.first_record}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a saved state."""
        self.first_record = state["first_record"]

    def _closure(self, batch: Batch) -> Callable[[], Tensor]:
        """For optimizers that read the parameters' `grad`."""
        due = self.weighting.due()
        if due and isinstance(self.weighting, FromKernel):
            self._update(batch)
            due = False

        def closure() -> Tensor:
            nonlocal due
            self.model.opt.zero_grad()
            updates, due = due, False
            if self.engine.prefers_gradients or (
                updates and isinstance(self.weighting, FromGradients)
            ):
                return self._set_gradients(batch, updates)
            with autocast():
                losses = torch.stack(self.engine.losses(batch))
                if updates:
                    self._update_from(losses)
                loss = self._weighted(losses)
                loss.backward(inputs=self.engine.parameters().all)
            return loss

        return closure

    def _graph_closure(self, batch: Batch) -> Callable[[], Tensor]:
        """For NNCG, which differentiates the loss itself; DeepXDE takes no half precision there."""
        if self.weighting.due():
            self._update(batch)

        def closure() -> Tensor:
            self.model.opt.zero_grad()
            return self._weighted(torch.stack(self.engine.losses(batch)))

        return closure

    def _weighted(self, losses: Tensor) -> Tensor:
        """The loss to minimise: the weighted sum over the terms, and the regularization."""
        return torch.sum(losses * self.term_weights()) + self._penalty()

    def term_weights(self) -> Tensor:
        """What each term is multiplied with, in the order of DeepXDE's losses."""
        # Not a matrix product, which autocast would take in half precision.
        return (self._row_weights().unsqueeze(1) * self._terms_to_rows).sum(dim=0)

    def group_weights(self) -> dict[str, float]:
        """The weights now, by group name. Copies them to the host."""
        return dict(zip(self.engine.groups.names, self.weighting.weights.tolist(), strict=True))

    def warn_at_record(self) -> None:
        """Gives the warnings that are due after a record in the loss history, each once."""
        self._warn_skipped()
        self._warn_let_go()

    def _warn_skipped(self) -> None:
        """Warns that a group kept its weight. Copies to the host."""
        names = zip(self.engine.groups.names, self.weighting.skipped().tolist(), strict=True)
        new = [name for name, skipped in names if skipped and name not in self._warned]
        if new:
            self._warned.update(new)
            warnings.warn(
                f"The gradient statistic of {', '.join(map(repr, new))} was 0, infinite or nan in "
                "at least one update: there, the group kept its weight (a condition already met, "
                "frozen layers or a loss that is not finite).",
                stacklevel=3,
            )

    def _warn_let_go(self) -> None:
        """Warns that the weights let conditions go."""
        if self._warned_let_go or not isinstance(self.weighting, GradientWeighting):
            return
        history = self.model.losshistory
        own = slice(self.first_record, None)  # what was before may be of other terms
        if not history.steps[own]:  # a script has put another history in its place
            self.first_record = 0
            return
        records = history.loss_train[own]
        first, last = (
            dict(zip(self.engine.groups.names[1:], self._group_losses(record)[1:], strict=True))
            for record in (records[0], records[-1])
        )
        names = let_go(history.steps[own], history.loss_weights[own], first, last)
        if names:
            self._warned_let_go = True
            warnings.warn(
                f"The weight of {', '.join(map(repr, names))} stays below 1, and the loss hardly "
                "falls: where the residual's gradient is small from the start, "
                "the strategy lets conditions go, and its weights fall further. Give it "
                'min_weight=1 or a larger update_every, or try "gw-mean".',
                stacklevel=3,
            )

    def _group_losses(self, record: Sequence[float]) -> list[float]:
        """The groups' losses, with the static factors, in an entry of the loss history."""
        scale = self.engine.scale
        return [sum(scale[i] * float(record[i]) for i in row) for row in self.engine.groups.members]

    def _row_weights(self) -> Tensor:
        weights = self.weighting.weights
        unweighted = self.engine.groups.unweighted
        return torch.cat([weights, weights.new_ones(1)]) if unweighted else weights

    def _set_gradients(self, batch: Batch, updates: bool) -> Tensor:
        """Gives the parameters the gradient of the weighted sum; the weights are updated before."""
        with autocast():
            computed = self.engine.gradients(batch)
        if updates:
            self._update_from(computed.losses, computed)
        row_losses = self._row_losses(computed.losses)
        weights = self._row_weights()
        parameters = computed.parameters.all
        gradients = (weights @ computed.values).split([p.numel() for p in parameters])
        penalty = self._penalty()
        set_gradients(
            parameters,
            [
                gradient.view_as(parameter).to(parameter) if reached else None
                for parameter, gradient, reached in zip(
                    parameters, gradients, computed.reached, strict=True
                )
            ],
            penalty,
        )
        return torch.sum(weights * row_losses) + penalty

    def _update_from(self, losses: Tensor, computed: IterationGradients | None = None) -> None:
        """Updates the weights.

        Args:
            losses: The losses of the terms.
            computed: Their gradients, for a weighting that reads them.
        """
        num_groups = len(self.engine.groups.names)
        with torch.no_grad():
            group_losses = self._row_losses(losses.detach())[:num_groups]
            if isinstance(self.weighting, FromGradients):
                assert computed is not None
                self.weighting.update(group_losses, computed.of_network(num_groups))
            elif isinstance(self.weighting, FromLosses):
                self.weighting.update(group_losses)

    def _update(self, batch: Batch) -> None:
        """Updates the weights by an evaluation for this alone."""
        if isinstance(self.weighting, FromGradients):
            computed = self.engine.gradients(batch)
            self._update_from(computed.losses, computed)
        elif isinstance(self.weighting, FromLosses):
            self._update_from(torch.stack(self.engine.losses(batch)))
        elif isinstance(self.weighting, FromKernel):
            with autocast():
                traces = kernel_traces(
                    self.engine, batch, self.weighting.exact, self.weighting.probes
                )
            self.weighting.update(traces.to(self._terms_to_rows))

    def _row_losses(self, losses: Tensor) -> Tensor:
        return self._terms_to_rows @ losses.to(self._terms_to_rows)

    def _penalty(self) -> Tensor | float:
        """The L1 regularization; L2 is the optimizer's weight decay."""
        if not has_l1(self.model.net):
            return 0.0
        return self.model.net.regularizer[1] * sum(
            p.abs().sum() for p in self.model.net.parameters()
        )


def has_l1(net: torch.nn.Module) -> bool:
    """Whether DeepXDE adds an L1 regularization to the losses, as their last entry."""
    regularizer: Any = net.regularizer
    return regularizer is not None and regularizer[0] == "l1" and regularizer[1] > 0


def autocast() -> AbstractContextManager[Any]:
    """DeepXDE's mixed precision, if the user has set it."""
    if not dde.config.mixed:
        return nullcontext()
    return torch.autocast(device_type=torch.get_default_device().type, dtype=torch.float16)
