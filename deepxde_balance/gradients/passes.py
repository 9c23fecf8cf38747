"""The one-pass engine with a bounded number of points at a time.

A loss that is a mean over points is the weighted sum of the means over some of them. So the blocks
are cut into pieces, a few pieces at a time go through the network and backward, and losses and
gradients are added up. The memory that an iteration takes does not grow with the points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import deepxde as dde
import torch
from torch import Tensor
from torch.func import functional_call

from .._deepxde.batch import Batch
from .._deepxde.condition_parts import part_of
from ..terms.groups import TermGroups
from .base import IterationGradients, LinearMeasure, Measure, Parameters, grad, lay_out
from .one_pass import Block, LossFn, OnePassEngine, Part, add_gradients, differentiate
from .pieces import ErrorRange, Piece, cut, packed


class Pass(NamedTuple):
    """The pieces that are evaluated together.

    Args:
        pieces: The pieces.
        stackable: The positions of those that may be evaluated as one stack.
    """

    pieces: list[Piece]
    stackable: list[int]


class Linearized(NamedTuple):
    """A measure at given errors.

    Args:
        values: The values, by term, without gradients.
        slopes: The derivatives of each term's value by the term's errors.
    """

    values: dict[int, Tensor]
    slopes: dict[int, Tensor]


class PassesEngine(OnePassEngine):
    """Evaluates at most a given number of points at a time.

    A measure in the place of the loss functions may use all errors at once. So all errors are
    evaluated first, without gradients; then the derivatives of the measure by each of them; then
    the errors again, pass by pass, with their gradients.

    `losses` alone, which keeps the graph of all points, evaluates them in one go.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` or ``TimePDE``.
        groups: The groups of its terms.
        scale: One static factor per term.
        loss_fn: DeepXDE's loss function, or a list of one for each term; each a mean over points.
        points_per_pass: The largest number of points of a pass. A condition of a class with an
            `error` of its own is evaluated as a whole, and so is a pair of points.
    """

    def __init__(
        self,
        model: dde.Model,
        groups: TermGroups,
        scale: Sequence[float],
        loss_fn: LossFn | Sequence[LossFn],
        points_per_pass: int,
    ):
        super().__init__(model, groups, scale, loss_fn)
        self._points_per_pass = points_per_pass
        self._passes: list[Pass] = []
        #: For each term its number of errors; ``None`` if it is not known.
        self._numbers: dict[int, int | None] = {}
        #: For each term an empty tensor of the type and the shape of its errors.
        self._no_errors: dict[int, Tensor] = {}
        #: The same engine for the test points, where they are not the training points.
        self._at_test_points: PassesEngine | None = None

    @property
    def prefers_gradients(self) -> bool:
        return True

    @property
    def points_per_pass(self) -> int:
        return self._points_per_pass

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        self._cut(batch)
        at_errors = None if measure is None else self._linearize(measure)
        slopes = None if at_errors is None else at_errors.slopes
        losses: dict[int, Tensor] = {}
        per_row: list[list[Tensor | None]] = [
            [None] * len(parameters.all) for _ in self.groups.rows
        ]
        for one in self._passes:
            of_pass, gradients = self._of_pass(one, parameters, slopes)
            _add_losses(losses, of_pass)
            for row, of_row in zip(per_row, gradients, strict=True):
                row[:] = map(add_gradients, row, of_row)
        values = losses if at_errors is None else at_errors.values
        return lay_out([values[i] for i in range(len(values))], per_row, parameters)

    def errors_in_turn(
        self, batch: Batch, weigh: Measure | None = None
    ) -> Iterator[dict[int, Tensor]]:
        self._cut(batch)
        factors = None if weigh is None else self._linearize(weigh).slopes
        for piece in self._pieces():
            errors = self._errors_of(piece, None)
            dde.gradients.clear()
            if factors is not None:
                errors = {
                    i: _some(factors[i], where) * e for i, e, where in _by_term(piece, errors)
                }
            yield errors

    def outputs_losses(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        """The network's outputs and the losses of all terms, without gradients.

        Args:
            batch: The points: the training points, or test points that begin with the conditions'.
            training: Whether the network is to be in training mode.
        """
        if batch.inputs is not self.model.data.train_x:
            if self._at_test_points is None:
                self._at_test_points = PassesEngine(
                    self.model, self.groups, self.scale, self.loss_fns, self._points_per_pass
                )
            return self._at_test_points._outputs_losses(batch, training)
        return self._outputs_losses(batch, training)

    def _outputs_losses(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor]:
        self._cut(batch)
        self.model.net.train(mode=training)
        losses: dict[int, Tensor] = {}
        for piece in self._pieces():
            errors = self._frozen_errors(piece)
            _add_losses(losses, self._losses_of(piece, errors, None))
        return self._outputs(), torch.stack([losses[i] for i in range(len(losses))])

    def _outputs(self) -> Tensor:
        """The network's outputs at the points of the batch, which it was cut from.

        The points require gradients, as in DeepXDE: an output transform may differentiate by them.
        """
        assert self.seen is not None
        inputs, _, auxiliary = self.seen.batch
        device = next(self.model.net.parameters()).device
        frozen = self._frozen_parameters()
        outputs = []
        for first in range(0, len(inputs), self._points_per_pass):
            some = slice(first, first + self._points_per_pass)
            if auxiliary is not None:
                self.model.net.auxiliary_vars = torch.as_tensor(auxiliary[some], device=device)
            points = torch.as_tensor(inputs[some], device=device).detach().requires_grad_()
            of_some = functional_call(self.model.net, frozen, points, tie_weights=False)
            outputs.append(of_some.detach())
            dde.gradients.clear()
        return torch.cat(outputs)

    def _of_pass(
        self, one: Pass, parameters: Parameters, slopes: Mapping[int, Tensor] | None
    ) -> tuple[dict[int, Tensor], list[list[Tensor | None]]]:
        """A pass's parts of the terms' losses, and of the gradients of each row.

        Args:
            one: The pass.
            parameters: The parameters.
            slopes: The derivatives of a measure by the errors, for each term; ``None`` for the
                loss functions.
        """
        copies_of = [[p.detach().requires_grad_() for p in parameters.network] for _ in one.pieces]
        named = [self._by_name(parameters.network, copies) for copies in copies_of]
        outputs = self._stacked_outputs(one.pieces, one.stackable, named)
        losses: dict[int, Tensor] = {}
        parts: list[Part] = []
        for k, (piece, copies) in enumerate(zip(one.pieces, copies_of, strict=True)):
            errors = self._errors_of(piece, named[k], outputs.get(k))
            own = self._losses_of(piece, errors, slopes)
            for number, terms in enumerate(self.groups.rows):
                chosen = [i for i in terms if i in own]
                if chosen:
                    parts.append(Part(number, copies, self.scaled_sum(own, chosen)))
            _add_losses(losses, own)
        dde.gradients.clear()
        return losses, self._differentiated(parts, parameters.external)

    def _differentiated(
        self, parts: Sequence[Part], external: list[Tensor]
    ) -> list[list[Tensor | None]]:
        """For each row the gradients of its parts, by the network's parameters and `external`."""
        num_rows = len(self.groups.rows)
        if len(parts) == 1:  # one backward gives both
            only = parts[0]._replace(copies=[*parts[0].copies, *external])
            return differentiate([only], num_rows)
        of_external: list[Sequence[Tensor | None]] = [
            grad([part.loss for part in parts if part.row == row], external, retain_graph=True)
            for row in range(num_rows)
        ]
        of_network = differentiate(parts, num_rows)
        return [[*a, *b] for a, b in zip(of_network, of_external, strict=True)]

    def _losses_of(
        self, piece: Piece, errors: Mapping[int, Tensor], slopes: Mapping[int, Tensor] | None
    ) -> dict[int, Tensor]:
        """The piece's parts of its terms' losses, or with `slopes` sums with the same gradients."""
        losses = {}
        for i, of_term, where in _by_term(piece, errors):
            if slopes is not None:
                losses[i] = (_some(slopes[i], where) * of_term).sum()
            else:
                share = 1.0 if where is None else (where.last - where.first) / where.of
                losses[i] = share * self._loss(i, of_term)
        return losses

    def _linearize(self, measure: Measure) -> Linearized:
        """What a measure makes of all errors, and its derivatives by each of them."""
        numbers = [number for number in self._numbers.values() if number is not None]
        if isinstance(measure, LinearMeasure) and len(numbers) == len(self._no_errors):
            errors = {  # whatever they are, the derivatives are the same
                i: self._no_errors[i].new_zeros((number, *self._no_errors[i].shape[1:]))
                for i, number in zip(self._numbers, numbers, strict=True)
            }
        else:
            errors = self._all_errors()
        leaves = {i: of_term.requires_grad_() for i, of_term in errors.items()}
        values = measure(leaves)
        totals = [values[i].sum() for i in leaves]
        slopes = torch.autograd.grad(totals, list(leaves.values()))
        detached = {i: value.detach() for i, value in values.items()}
        return Linearized(detached, dict(zip(leaves, slopes, strict=True)))

    def _all_errors(self) -> dict[int, Tensor]:
        """The errors of all terms, without gradients, in the order of the blocks."""
        of_terms: dict[int, list[Tensor]] = {i: [] for i in self._numbers}
        for piece in self._pieces():
            for i, errors in self._frozen_errors(piece).items():
                of_terms[i].append(errors)
        return {i: torch.cat(errors) for i, errors in of_terms.items()}

    def _frozen_errors(self, piece: Piece) -> dict[int, Tensor]:
        """The errors of a piece, evaluated without a graph of the network's parameters."""
        of_piece = self._errors_of(piece, self._frozen_parameters())
        errors = {i: e.detach() for i, e in of_piece.items()}
        dde.gradients.clear()
        return errors

    def _frozen_parameters(self) -> dict[str, Tensor]:
        """All parameters of the network without gradients, by name."""
        parameters = list(self.model.net.parameters())
        return self._by_name(parameters, [p.detach() for p in parameters])

    def _errors_of(
        self, piece: Piece, copies: dict[str, Tensor] | None, outputs: Tensor | None = None
    ) -> dict[int, Tensor]:
        """The errors of a piece, see `_block_errors`.

        Raises:
            ValueError: If their number is not that of the points.
        """
        errors = self._block_errors(piece, copies, outputs)
        for i, of_term, where in _by_term(piece, errors):
            if where is not None and len(of_term) != where.last - where.first:
                raise ValueError(
                    f"{self.groups.terms[i].name} has {len(of_term)} errors at {len(piece.points)} "
                    "points"
                )
            if i not in self._no_errors:
                self._no_errors[i] = of_term.detach()[:0].clone()
        return errors

    def _pieces(self) -> Iterator[Piece]:
        """All pieces."""
        for one in self._passes:
            yield from one.pieces

    def _conditions(self, block: Block) -> list[Any]:
        conditions = super()._conditions(block)
        if not isinstance(block, Piece):
            return conditions
        return [
            condition if where is None else part_of(condition, where.first, where.last)
            for condition, where in zip(conditions, block.errors, strict=True)
        ]

    def _cut(self, batch: Batch) -> None:
        before = self.seen
        super()._cut(batch)
        if self.seen is not before:
            self._cut_into_passes()

    def _cut_into_passes(self) -> None:
        """Cuts the blocks into passes."""
        pieces = [
            piece
            for block in self._row_blocks
            for piece in cut(block, self._conditions(block), self.points_per_pass)
        ]
        self._passes = [
            Pass(some, self._stackable_in_pass(some))
            for some in packed(pieces, self.points_per_pass)
        ]
        self._numbers = {
            i: None if where is None else where.of
            for piece in pieces
            for i, where in zip(piece.terms, piece.errors, strict=True)
        }

    def _stackable_in_pass(self, pieces: list[Piece]) -> list[int]:
        """The positions of the pieces to stack; none if the padded stack were too large."""
        chosen = self._stackable_of(pieces)
        longest = max((len(pieces[k].points) for k in chosen), default=0)
        return chosen if len(chosen) * longest <= self.points_per_pass else []


def _by_term(
    piece: Piece, errors: Mapping[int, Tensor]
) -> Iterator[tuple[int, Tensor, ErrorRange | None]]:
    """Each term of a piece, its errors, and which of the term's errors they are."""
    for i, where in zip(piece.terms, piece.errors, strict=True):
        yield i, errors[i], where


def _some(per_error: Tensor, where: ErrorRange | None) -> Tensor:
    """The rows of a tensor that belong to some of the errors."""
    return per_error if where is None else per_error[where.first : where.last]


def _add_losses(losses: dict[int, Tensor], more: Mapping[int, Tensor]) -> None:
    """Adds parts of losses, without their graphs, to those so far."""
    for i, loss in more.items():
        losses[i] = losses[i] + loss.detach() if i in losses else loss.detach()
