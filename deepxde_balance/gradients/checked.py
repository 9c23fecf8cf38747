"""The one-pass engine, with checks of its losses against DeepXDE's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import Batch
from .._deepxde.few_points import few_points
from .._deepxde.nncg import is_nncg
from .._deepxde.no_trace import no_trace, unchanged_random_states
from .._deepxde.stock_losses import deepxde_losses
from ..ranks import current
from ..terms.groups import TermGroups
from .base import GradientEngine, IterationGradients, Measure
from .mean_losses import is_no_mean, is_no_mean_of
from .one_pass import OnePassEngine, loss_functions, same_objects
from .passes import PassesEngine
from .per_group import PerGroupEngine
from .points_per_pass import PassSize
from .rounding import ROUNDING_FACTOR, at_other_last_digits, machine_epsilon

#: A check costs about two iterations. Where points change more often than this, not every change is
#: checked.
_EVALUATIONS_BETWEEN_CHECKS = 100

#: What the losses read may change while the points stay: so often they are checked all the same.
_EVALUATIONS_ON_THE_SAME_POINTS = 499

#: The points of a pass where passes are compared with one go, at most: less than half of those of
#: a term.
_POINTS_OF_FEW = 10


class CheckedEngine(GradientEngine):
    """Uses the one-pass engine for as long as it gives DeepXDE's losses.

    The losses are compared with DeepXDE's when a training begins, when points or conditions are
    replaced, and every 499 evaluations. If they differ by more than rounding, or depend on the
    network's parameters themselves and not on the copies, :class:`PerGroupEngine` takes over, with
    a warning.

    Above a number of points they are divided into passes, and a few of them are compared: with
    all points in one go, and in several passes. Each loss function must be a mean over its errors,
    in its value and its derivatives, and the errors and their gradients must be DeepXDE's; so the
    gradients of the losses are.

    Args:
        model: A compiled ``dde.Model``.
        groups: The groups of its terms.
        scale: One static factor per term.
        must_hold: Whether a difference is a RuntimeError instead.
        size: The size of the passes; ``None`` for all points at once.
    """

    def __init__(
        self,
        model: dde.Model,
        groups: TermGroups,
        scale: Sequence[float],
        must_hold: bool,
        size: PassSize | None = None,
    ):
        super().__init__(model, groups, scale)
        self._must_hold = must_hold
        self._size = size
        self._engine: GradientEngine | None = None
        #: Why the per-group engine has taken over, if it has.
        self._per_group_because: str | None = None
        self._checked_points: Any = None
        self._checked_conditions: list[Any] | None = None
        self._evaluations = 0

    @property
    def name(self) -> str:
        return "one-pass" if self._engine is None else self._engine.name

    @property
    def prefers_gradients(self) -> bool:
        return self.points_per_pass is not None

    @property
    def points_per_pass(self) -> int | None:
        divides = self._divides(self.model.data.train_x) and self._per_group_because is None
        return self._size.points if self._size is not None and divides else None

    def begin(self, last_step: int | None = None) -> None:
        self._checked_conditions = None  # what the losses read may be other than it was

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        return self.checked(batch).losses(batch, measure)

    def errors_in_turn(
        self, batch: Batch, weigh: Measure | None = None
    ) -> Iterator[Mapping[int, Tensor]]:
        return self.checked(batch).errors_in_turn(batch, weigh)

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        return self.checked(batch).gradients(batch, measure)

    def outputs_losses(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor] | None:
        data = self.model.data
        engine = self.checked(Batch(*data.train_next_batch()))
        conditions = batch.inputs[: len(data.train_x_bc)]
        if not isinstance(engine, PassesEngine) or not np.array_equal(conditions, data.train_x_bc):
            return None
        with no_trace(self.model.net):
            return engine.outputs_losses(batch, training)

    def checked(self, batch: Batch, new_points: bool = False) -> GradientEngine:
        """Returns the engine to use, after a check if one is due.

        Args:
            batch: The points.
            new_points: Whether to check changed points even if the last check was only a few
                evaluations ago.

        Raises:
            RuntimeError: If the check finds a difference and `must_hold` is set, or if points can't
                be divided and a user asked for it.
        """
        self._evaluations += 1
        if self._per_group_because is not None and self._divides(batch.inputs):
            self._refuse_passes(self._per_group_because)
        due = new_points or self._evaluations > _EVALUATIONS_BETWEEN_CHECKS
        if self._engine is None or (
            self._engine.name == "one-pass"
            and (
                (due and batch.inputs is not self._checked_points)
                or self._long_unchecked()
                or not same_objects(self.model.data.bcs, self._checked_conditions)
                or isinstance(self._engine, PassesEngine) != self._divides(batch.inputs)
            )
        ):
            self._check(batch)
        assert self._engine is not None
        return self._engine

    def _long_unchecked(self) -> bool:
        """Whether the same points are to be checked again; one of several processes may not."""
        return current() is None and self._evaluations > _EVALUATIONS_ON_THE_SAME_POINTS

    def _divides(self, points: np.ndarray) -> bool:
        """Whether points are too many to be evaluated together."""
        if self._size is None or len(points) <= self._size.above:
            return False
        return not is_nncg(self.model.opt)  # it differentiates the losses of all points itself

    def _check(self, batch: Batch) -> None:
        """Chooses the engine by a comparison with DeepXDE's losses."""
        self._checked_points, self._evaluations = batch.inputs, 0
        self._checked_conditions = list(self.model.data.bcs)
        if self._size is not None and self._divides(batch.inputs):
            reason = self._try_passes(batch, self._size.points)
            if reason is None:
                return
            self._refuse_passes(reason)
        self._check_one_pass(batch)

    def _refuse_passes(self, reason: str) -> None:
        """Takes all points at once from now on; a RuntimeError if a user asked for passes."""
        if self._size is not None and self._size.asked:
            raise RuntimeError(
                f"points_per_pass={self._size.points} can't be used here: {reason}. Leave it "
                "out, and all points go through the network at once."
            )
        self._size = None

    def _try_passes(self, batch: Batch, points: int) -> str | None:
        """Takes the engine for passes, or says why it can't be used.

        Args:
            batch: The points.
            points: The largest number of points of a pass.
        """
        with (
            no_trace(self.model.net),
            torch.enable_grad(),
            few_points(self.model.data, batch) as few,
        ):
            weighed = _WeighedErrors()
            ones = (1.0,) * len(self.groups.terms)  # a small static factor would hide differences
            try:
                losses, loss_fn = deepxde_losses(self.model, few)
                per_group = PerGroupEngine(self.model, self.groups, ones)
                slopes = per_group.gradients(few, weighed).values
            except Exception as error:
                return f"DeepXDE can't evaluate the losses at a part of the points ({error})"
            expected = torch.stack([loss.detach() for loss in losses])
            for i, function in enumerate(loss_functions(loss_fn, len(losses))):
                if is_no_mean(function, expected) or is_no_mean_of(function, weighed.errors[i]):
                    return (
                        f"the loss function of {self.groups.terms[i].name} is no mean over points"
                    )
            engine = PassesEngine(self.model, self.groups, self.scale, loss_fn, points)
            number = min(points, _POINTS_OF_FEW)
            at_few = PassesEngine(self.model, self.groups, ones, loss_fn, number)
            difference = self._difference(at_few, few, expected)
            if difference is not None:
                at_few.stacks = engine.stacks = False
                difference = self._difference(at_few, few, expected)
            if difference is not None:
                return f"the one-pass engine {difference}"
            try:
                in_passes = at_few.gradients(few).losses
                slopes_in_passes = at_few.gradients(few, weighed).values
            except Exception as error:
                return f"the losses can't be evaluated at a part of the points ({error})"
            names = self._differing(in_passes, expected, at_few, few)
            names = names or self._differing_rows(slopes_in_passes, slopes)
        if names:
            return (
                f"the loss of {names} at all points is not the mean of that at parts of them, or "
                "its gradient is not. A residual, a condition or a network that looks at several "
                "points at once does that"
            )
        self._engine = engine
        return None

    def _check_one_pass(self, batch: Batch) -> None:
        """Chooses between the engine for all points at once and the per-group engine."""
        with no_trace(self.model.net), torch.enable_grad():
            expected, loss_fn = deepxde_losses(self.model, batch)
            expected = [loss.detach() for loss in expected]  # frees DeepXDE's graph
            engine = self._engine
            if not isinstance(engine, OnePassEngine) or isinstance(engine, PassesEngine):
                engine = OnePassEngine(self.model, self.groups, self.scale, loss_fn)
            difference = self._difference(engine, batch, torch.stack(expected))
            if difference is not None and engine.stacks:
                engine.stacks = False  # perhaps only the stack is at fault
                difference = self._difference(engine, batch, torch.stack(expected))
        if difference is None:
            self._engine = engine
            return
        message = (
            f"The one-pass engine {difference}. A residual or network that looks at several "
            "points at once, draws random numbers, counts its calls or uses parameters past the "
            "network does that"
        )
        if self._must_hold:
            raise RuntimeError(f"{message}: leave gradient_engine='one-pass' out.")
        warnings.warn(
            f"{message}: from now on, DeepXDE's own losses are used; where a strategy reads the "
            "groups' gradients, each group takes a backward of its own, which is slower.",
            stacklevel=2,
        )
        self._per_group_because = f"the one-pass engine {difference}"
        self._engine = PerGroupEngine(self.model, self.groups, self.scale)

    def _difference(self, engine: OnePassEngine, batch: Batch, expected: Tensor) -> str | None:
        """Describes how the engine differs from DeepXDE; ``None`` if it does not."""
        try:
            through_copies, bypassed = engine.losses_of_copies(batch)
            without_copies = engine.losses(batch)
        except Exception as error:  # a model that DeepXDE can evaluate must train, if slowly
            return f"fails where DeepXDE's losses do not ({error})"
        for losses in (through_copies, without_copies):
            names = self._differing(torch.stack(losses).detach(), expected, engine, batch)
            if names:
                return f"does not give DeepXDE's loss of {names} on the same points"
        if bypassed:
            more = f" and {len(bypassed) - 3} more" if len(bypassed) > 3 else ""
            return f"would lose gradients of {', '.join(bypassed[:3])}{more}"
        return None

    def _differing(
        self, losses: Tensor, expected: Tensor, engine: GradientEngine, batch: Batch
    ) -> str:
        """The names of the terms whose losses are not as expected; empty if there are none.

        Sums over thousands of points in another order, and derivatives from matrices of another
        shape, make relative differences of some thousand times the machine precision. The root of
        it is more, and far below the differences that a wrong engine makes. A small loss that is
        little but rounding, of a condition that is met, may differ by more: such a one also changes
        with the last digits of the parameters, and not with the number of evaluations. Nothing is
        compared where DeepXDE's loss is not finite.

        Args:
            losses: The losses of all terms.
            expected: Those of DeepXDE.
            engine: The engine that they are of.
            batch: The points.
        """
        epsilon = machine_epsilon(losses, next(self.model.net.parameters()).dtype)
        difference = (losses - expected).abs()
        wrong = ~(difference <= epsilon**0.5 * expected.abs()) & expected.isfinite()
        if wrong.any():

            def evaluate() -> Tensor:
                with unchanged_random_states(self.model.net.parameters()):
                    return torch.stack(engine.losses(batch)).detach()

            here = evaluate()
            near = torch.stack(
                at_other_last_digits(self.parameters().all, evaluate, epsilon=epsilon)
            )
            rounding, drift = (near - here).abs().amax(0), (evaluate() - here).abs()
            allowed = (ROUNDING_FACTOR * rounding).clamp(max=10 * epsilon)
            wrong &= ~((difference <= allowed) & (drift < rounding))
        return ", ".join(
            term.name for term, w in zip(self.groups.terms, wrong.tolist(), strict=True) if w
        )

    def _differing_rows(self, gradients: Tensor, expected: Tensor) -> str:
        """The names of the terms of the rows whose gradients are not as expected."""
        epsilon = torch.finfo(gradients.dtype).eps
        size = expected.norm(dim=1)
        wrong = (gradients - expected).norm(dim=1) > epsilon**0.5 * size + 10 * epsilon
        return ", ".join(
            self.groups.terms[i].name
            for row, w in zip(self.groups.rows, wrong.tolist(), strict=True)
            if w
            for i in row
        )


class _WeighedErrors:
    """A measure: sums of errors times factors, which differ from point to point.

    Unlike those of squared errors, the gradients do not vanish with the errors, so that rounding
    is small beside them in a trained network, too.
    """

    def __init__(self) -> None:
        #: The errors of all terms that were measured last.
        self.errors: dict[int, Tensor] = {}

    def __call__(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        self.errors = {i: of_term.detach() for i, of_term in errors.items()}
        sums = {}
        for i, of_term in errors.items():
            steps = torch.arange(of_term.numel(), dtype=of_term.dtype, device=of_term.device)
            sums[i] = ((1.5 + steps.cos()).view_as(of_term) * of_term).sum()
        return sums
