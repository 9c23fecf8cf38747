"""The one-pass engine: the gradients of all groups in one backward.

DeepXDE evaluates the network once on the whole batch (each condition's points, then the residual
points), and each loss reads its own slice. Here the network is evaluated on each group's points
separately, with leaf copies of the parameters that belong to the group. One backward of the sum of
all losses then gives each group's gradient at its copies. Unlike DeepXDE, this engine does not
evaluate the residual at the conditions' points.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np
import torch
from deepxde.utils import get_num_args
from torch import Tensor
from torch.func import functional_call

from .._deepxde.batch import Batch, BatchSnapshot, condition_spans
from .._deepxde.target_cache import mend_targets
from ..terms.groups import TermGroups
from ..terms.same_terms import check_same_number
from .base import (
    GradientEngine,
    IterationGradients,
    Measure,
    Parameters,
    external_variables,
    grad,
    lay_out,
)
from .stacking import WORTH_STACKING, compares_values, stacked_outputs

LossFn = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Block:
    """Terms at whose points the network is evaluated together: residuals, or conditions.

    Args:
        terms: Positions of the terms.
        points: The points as a NumPy array, which conditions are given, shape (N, d).
        inputs: The points as a tensor on the network's device.
        auxiliary_vars: The auxiliary variables at the points, if there are any.
        slices: For each condition its first and last + 1 point; ``None`` for residuals.
    """

    terms: tuple[int, ...]
    points: np.ndarray
    inputs: Tensor
    auxiliary_vars: Tensor | None
    slices: tuple[tuple[int, int], ...] | None


class Part(NamedTuple):
    """The part of a row's loss that comes from one block.

    Args:
        row: The number of the row.
        copies: The block's copies of the parameters.
        loss: The scaled sum of the losses of the row's terms in the block, shape ().
    """

    row: int
    copies: list[Tensor]
    loss: Tensor


class OnePassEngine(GradientEngine):
    """Evaluates blocks of points, each with its own leaf copies of the parameters.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` or ``TimePDE``.
        groups: The groups of its terms.
        scale: One static factor per term.
        loss_fn: DeepXDE's loss function, or a list of one for each term.
    """

    name = "one-pass"

    def __init__(
        self,
        model: dde.Model,
        groups: TermGroups,
        scale: Sequence[float],
        loss_fn: LossFn | Sequence[LossFn],
    ):
        super().__init__(model, groups, scale)
        #: The loss function of each term.
        self.loss_fns = loss_functions(loss_fn, len(groups.terms))
        pde = model.data.pde
        self._pde_takes_auxiliary_vars = pde is not None and get_num_args(pde) == 3
        self._names = names_of_parameters(model.net)
        #: Whether blocks of conditions without derivatives may be evaluated as one stack.
        self.stacks = True
        #: The points that the blocks were cut from, and the conditions that there were then.
        self.seen: BatchSnapshot | None = None
        self._conditions_then: list[Any] | None = None

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        self._cut(batch)
        errors = (self._block_errors(block, None) for block in self._shared_blocks)
        losses = self._measured(errors, measure)
        dde.gradients.clear()
        return [losses[i] for i in range(len(losses))]

    def losses_of_copies(self, batch: Batch) -> tuple[list[Tensor], list[str]]:
        """The losses that depend on the copies, and the parameters that bypass the copies.

        Returns:
            The losses of all terms as `gradients` evaluates them, and the names of parameters of
            the network that a residual, a condition or the network uses directly. `gradients`
            would lose the gradient of that use.
        """
        parameters = self.parameters()
        losses, _ = self._evaluate_rows(batch, parameters)
        lost = grad(losses, parameters.network, retain_graph=False)
        names = [
            self._names[p][0]
            for p, g in zip(parameters.network, lost, strict=True)
            if g is not None
        ]
        return losses, names

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        losses, parts = self._evaluate_rows(batch, parameters, measure)
        of_external: list[Sequence[Tensor | None]] = [[] for _ in self.groups.rows]
        if parameters.external:  # They have no copies, so each row takes a backward of its own.
            totals = self.row_losses(losses)
            of_external = [grad([row], parameters.external, retain_graph=True) for row in totals]
        of_network = differentiate(parts, len(self.groups.rows))
        per_row = [[*a, *b] for a, b in zip(of_network, of_external, strict=True)]
        return lay_out(losses, per_row, parameters)

    def _evaluate_rows(
        self, batch: Batch, parameters: Parameters, measure: Measure | None = None
    ) -> tuple[list[Tensor], list[Part]]:
        """The losses of all terms, each block evaluated with its copies, and their parts by row."""
        self._cut(batch)
        parts: list[Part] = []
        copies_of = [
            [p.detach().requires_grad_() for p in parameters.network] for _ in self._row_blocks
        ]
        named = [self._by_name(parameters.network, copies) for copies in copies_of]
        outputs = self._stacked_outputs(self._row_blocks, self._stackable, named)
        errors = (
            self._block_errors(block, named[k], outputs.get(k))
            for k, block in enumerate(self._row_blocks)
        )
        losses = self._measured(errors, measure)
        for block, copies in zip(self._row_blocks, copies_of, strict=True):
            for number, terms in enumerate(self.groups.rows):
                own = [i for i in terms if i in block.terms]
                if own:
                    parts.append(Part(number, copies, self.scaled_sum(losses, own)))
        dde.gradients.clear()
        return [losses[i] for i in range(len(losses))], parts

    def _by_name(self, parameters: list[Tensor], copies: list[Tensor]) -> dict[str, Tensor]:
        """The copies by the names of their parameters."""
        pairs = zip(parameters, copies, strict=True)
        return {name: copy for p, copy in pairs for name in self._names[p]}

    def _stacked_outputs(
        self, blocks: Sequence[Block], chosen: list[int], named: list[dict[str, Tensor]]
    ) -> dict[int, Tensor]:
        """The network's outputs for the blocks that are evaluated as one stack, by position.

        Args:
            blocks: The blocks.
            chosen: The positions of those that may be stacked.
            named: For each block its copies of the parameters, by name.
        """
        if not self.stacks or len(chosen) < WORTH_STACKING or not named[0]:
            return {}
        inputs = [blocks[k].inputs for k in chosen]
        outputs = stacked_outputs(self.model.net, [named[k] for k in chosen], inputs)
        return dict(zip(chosen, outputs, strict=True))

    def _measured(
        self, errors: Iterable[Mapping[int, Tensor]], measure: Measure | None
    ) -> Mapping[int, Tensor]:
        """The losses of all terms, by position of the term.

        Args:
            errors: The errors of each block's terms.
            measure: Replaces the loss functions.
        """
        if measure is None:
            return {i: self._loss(i, e) for of_block in errors for i, e in of_block.items()}
        return measure({i: e for of_block in errors for i, e in of_block.items()})

    def _block_errors(
        self,
        block: Block,
        copies: dict[str, Tensor] | None,
        outputs: Tensor | None = None,
    ) -> dict[int, Tensor]:
        """The errors of a block's terms, by position of the term.

        Args:
            block: The block.
            copies: Replace the network's parameters, by name.
            outputs: The network's outputs, if they are known already.
        """
        net = self.model.net

        def call(x: Tensor) -> Tensor:
            outputs: Tensor = (
                net(x) if copies is None else functional_call(net, copies, x, tie_weights=False)
            )
            return outputs

        net.auxiliary_vars = block.auxiliary_vars
        x = block.inputs.detach().requires_grad_()
        u = call(x) if outputs is None else outputs
        if block.slices is None:
            errors = self._residuals(x, u, call)
            check_same_number(len(errors), [self.groups.terms[i] for i in block.terms])
        else:
            errors = [
                condition.error(block.points, x, u, beg, end)
                for condition, (beg, end) in zip(self._conditions(block), block.slices, strict=True)
            ]
        return dict(zip(block.terms, errors, strict=True))

    def _conditions(self, block: Block) -> list[Any]:
        """The conditions whose errors are evaluated at a block's points."""
        return [self._condition(i) for i in block.terms]

    def _condition(self, term: int) -> Any:
        """The condition of a term as the data has it now, ``None`` for a residual.

        A script may put another one in its place, without a compile.
        """
        if self.groups.terms[term].condition is None:
            return None
        residuals = len(self.groups.terms) - len(self.model.data.bcs)
        return self.model.data.bcs[term - residuals]

    def _loss(self, term: int, error: Tensor) -> Tensor:
        """A term's loss, as ``dde.data.PDE.losses`` computes it."""
        return self.loss_fns[term](torch.zeros_like(error), error)

    def _residuals(self, x: Tensor, u: Tensor, call: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The residuals of the PDE, evaluated as in ``dde.data.PDE.losses``."""
        pde = self.model.data.pde
        outputs = (u, call) if dde.config.autodiff == "forward" else u
        if self._pde_takes_auxiliary_vars:
            residuals = pde(x, outputs, self.model.net.auxiliary_vars)
        else:
            residuals = pde(x, outputs)
        return list(residuals) if isinstance(residuals, (list, tuple)) else [residuals]

    def _cut(self, batch: Batch) -> None:
        """Cuts a batch into blocks, unless the present ones are of its points and conditions."""
        if not self.model.net.training:
            self.model.net.train()
        conditions_now = list(self.model.data.bcs)
        same_conditions = same_objects(conditions_now, self._conditions_then)
        if self.seen is not None and self.seen.is_(batch) and same_conditions:
            return
        if not same_conditions and self._conditions_then is not None:
            mend_targets(self.model.data, external_variables(self.model))
        self._conditions_then = conditions_now
        seen = BatchSnapshot(batch)
        batch = seen.batch  # a block may share its rows
        residuals = [i for i, term in enumerate(self.groups.terms) if term.condition is None]
        conditions = [i for i, term in enumerate(self.groups.terms) if term.condition is not None]
        spans = dict(zip(conditions, condition_spans(self.model.data), strict=True))

        def of_conditions(terms: Sequence[int]) -> list[Block]:
            """The block of the conditions among some terms, if there are any."""
            chosen = [i for i in terms if i in spans]
            if not chosen:
                return []
            lengths = np.cumsum([0] + [spans[i][1] - spans[i][0] for i in chosen]).tolist()
            slices = tuple(itertools.pairwise(lengths))
            where = np.concatenate([np.arange(*spans[i]) for i in chosen])
            return [self._block(batch, chosen, where, slices)]

        rest = slice(sum(self.model.data.num_bcs), None)
        of_residuals = [self._block(batch, residuals, rest, None)] if residuals else []
        self._shared_blocks = of_residuals + of_conditions(conditions)
        self._row_blocks = of_residuals + [
            b for row in self.groups.rows for b in of_conditions(row)
        ]
        self._stackable = self._stackable_of(self._row_blocks)
        self.seen = seen

    def _stackable_of(self, blocks: Sequence[Block]) -> list[int]:
        """The positions of the blocks that may be evaluated as one stack."""
        return [
            k
            for k, block in enumerate(blocks)
            if block.auxiliary_vars is None
            and all(compares_values(self._condition(i)) for i in block.terms)
        ]

    def _block(
        self,
        batch: Batch,
        terms: Sequence[int],
        where: np.ndarray | slice,
        slices: tuple[tuple[int, int], ...] | None,
    ) -> Block:
        """The block of some terms, at the rows `where` of a batch."""
        device = next(self.model.net.parameters()).device
        points = batch.inputs[where]
        auxiliary = batch.auxiliary_vars
        if auxiliary is not None:
            auxiliary = torch.as_tensor(auxiliary[where], device=device)
        inputs = torch.as_tensor(points, device=device)
        return Block(tuple(terms), points, inputs, auxiliary, slices)


def names_of_parameters(net: torch.nn.Module) -> dict[Tensor, list[str]]:
    """The names of a network's parameters, as ``functional_call`` takes them.

    A parameter that two layers share has two names. A layer that is at two places of the network
    has one name alone: ``functional_call`` would put a copy into it twice, and leave it there.

    Args:
        net: The network.
    """
    names: dict[Tensor, list[str]] = {}
    for path, module in net.named_modules():  # each module once
        for name, parameter in module.named_parameters(path, recurse=False, remove_duplicate=False):
            names.setdefault(parameter, []).append(name)
    return names


def same_objects(now: Sequence[Any], then: Sequence[Any] | None) -> bool:
    """Whether two sequences hold the same objects; ``None`` holds none."""
    return then is not None and len(now) == len(then) and all(map(operator.is_, now, then))


def loss_functions(loss_fn: LossFn | Sequence[LossFn], number: int) -> list[LossFn]:
    """The loss function of each term, from DeepXDE's one function or its list.

    Args:
        loss_fn: The function, or a list of one for each term.
        number: The number of terms.
    """
    return [loss_fn] * number if callable(loss_fn) else list(loss_fn)


def differentiate(parts: Sequence[Part], num_rows: int) -> list[list[Tensor | None]]:
    """The gradient of each row's loss: the sum of its parts' gradients at their copies.

    Args:
        parts: The rows' losses in the blocks.
        num_rows: The number of rows.

    Returns:
        For each row a gradient for each parameter; ``None`` for an unused parameter.
    """
    num_parameters = len(parts[0].copies)
    per_row: list[list[Tensor | None]] = [[None] * num_parameters for _ in range(num_rows)]
    passes: list[list[Part]] = []
    # Two parts with the same copies need two passes, or their gradients would be added up.
    for part in parts:
        for members in passes:
            if all(other.copies is not part.copies for other in members):
                members.append(part)
                break
        else:
            passes.append([part])
    for number, members in enumerate(passes):
        copies = [copy for part in members for copy in part.copies]
        losses = [part.loss for part in members]
        gradients = iter(grad(losses, copies, retain_graph=number < len(passes) - 1))
        for part in members:
            for k in range(num_parameters):
                per_row[part.row][k] = add_gradients(per_row[part.row][k], next(gradients))
    return per_row


def add_gradients(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    """The sum of two gradients; ``None`` stands for 0."""
    if a is None or b is None:
        return b if a is None else a
    return a + b
