"""Per-group gradients for the price of one backward.

DeepXDE evaluates one batch, stacked condition by condition and then residual points, and each loss
reads its own slice. Here each group's points go through the network by themselves, and through
their own leaf copies of the parameters. One backward of the sum of all losses then gives each
group's gradient at its copies. The residual is not evaluated at the conditions' points, which
DeepXDE does and throws away.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import deepxde as dde
import numpy as np
import torch
from deepxde.utils import get_num_args
from torch import Tensor
from torch.func import functional_call

from .._deepxde.batch import Batch, BatchSnapshot
from ..terms.groups import TermGroups
from .base import GradientEngine, IterationGradients, Measure, Parameters, grad, lay_out
from .stacking import WORTH_STACKING, compares_values, stacked_outputs

LossFn = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Block:
    """Terms whose points go through the network together.

    Args:
        terms: Positions of the terms.
        points: The points, shape (N, d), for conditions that look at them as a NumPy array.
        inputs: The same as a tensor on the network's device.
        auxiliary_vars: The auxiliary variables at the points, if there are any.
        slices: For conditions, each one's first and last + 1 point; ``None`` for residuals.
    """

    terms: tuple[int, ...]
    points: np.ndarray
    inputs: Tensor
    auxiliary_vars: Tensor | None
    slices: tuple[tuple[int, int], ...] | None


class Part(NamedTuple):
    """One row's loss in one block.

    Args:
        row: Which row.
        copies: The block's copies of the parameters.
        loss: The loss.
    """

    row: int
    copies: list[Tensor]
    loss: Tensor


class OnePassEngine(GradientEngine):
    """Block by block, each through its own leaf copies of the parameters; one backward for all.

    Args:
        model: A compiled ``dde.Model`` on a ``dde.data.PDE`` or ``TimePDE``.
        groups: The groups of its terms.
        scale: One static factor per term.
        loss_fn: DeepXDE's loss function, or one for each term.
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
        self._loss_fns = [loss_fn] * len(groups.terms) if callable(loss_fn) else list(loss_fn)
        pde = model.data.pde
        self._pde_takes_auxiliary_vars = pde is not None and get_num_args(pde) == 3
        named = list(model.net.named_parameters(remove_duplicate=False))  # tied ones twice
        self._names = {id(p): [name for name, q in named if q is p] for _, p in named}
        #: Whether groups whose conditions compare values go through the network as one stack.
        self.stacks = True
        #: The points of the last evaluation.
        self.seen: BatchSnapshot | None = None

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        self._take(batch)
        losses: dict[int, Tensor] = {}
        for block in self._shared_blocks:
            losses |= self._block_losses(block, None, measure)
        dde.gradients.clear()
        return [losses[i] for i in range(len(losses))]

    def losses_of_copies(self, batch: Batch) -> tuple[list[Tensor], list[str]]:
        """The losses as `gradients` evaluates them, and what they depend on past the copies.

        Returns:
            The losses, and the names of the network's parameters whose gradient `gradients` would
            lose, because a residual, a condition or the network uses them by another way.
        """
        parameters = self.parameters()
        losses, _ = self._evaluate_rows(batch, parameters)
        lost = grad(losses, parameters.network, keep_graph=False)
        names = [
            self._names[id(p)][0]
            for p, g in zip(parameters.network, lost, strict=True)
            if g is not None
        ]
        return losses, names

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        parameters = self.parameters()
        losses, parts = self._evaluate_rows(batch, parameters, measure)
        of_external: list[Sequence[Tensor | None]] = [[] for _ in self.groups.rows]
        if parameters.external:  # which have no copies: a backward each, up to where they enter
            totals = self.row_losses(losses)
            of_external = [grad([row], parameters.external, keep_graph=True) for row in totals]
        of_network = _differentiate(parts, len(self.groups.rows))
        per_row = [[*a, *b] for a, b in zip(of_network, of_external, strict=True)]
        return lay_out(losses, per_row, parameters)

    def _evaluate_rows(
        self, batch: Batch, parameters: Parameters, measure: Measure | None = None
    ) -> tuple[list[Tensor], list[Part]]:
        """All losses by term, each block through its own copies, and what to differentiate."""
        self._take(batch)
        losses: dict[int, Tensor] = {}
        parts: list[Part] = []
        copies_of = [
            [p.detach().requires_grad_() for p in parameters.network] for _ in self._row_blocks
        ]
        named = [self._by_name(parameters.network, copies) for copies in copies_of]
        outputs = self._stacked_outputs(named)
        for k, (block, copies) in enumerate(zip(self._row_blocks, copies_of, strict=True)):
            losses |= self._block_losses(block, named[k], measure, outputs.get(k))
            for number, terms in enumerate(self.groups.rows):
                own = [i for i in terms if i in block.terms]
                if own:
                    parts.append(Part(number, copies, self.scaled_sum(losses, own)))
        dde.gradients.clear()
        return [losses[i] for i in range(len(losses))], parts

    def _by_name(self, parameters: list[Tensor], copies: list[Tensor]) -> dict[str, Tensor]:
        pairs = zip(parameters, copies, strict=True)
        return {name: copy for p, copy in pairs for name in self._names[id(p)]}

    def _stacked_outputs(self, named: list[dict[str, Tensor]]) -> dict[int, Tensor]:
        """The outputs of those blocks that are worth a stack, by position."""
        chosen = self._blocks_of_values
        if not self.stacks or len(chosen) < WORTH_STACKING or not named[0]:
            return {}
        inputs = [self._row_blocks[k].inputs for k in chosen]
        outputs = stacked_outputs(self.model.net, [named[k] for k in chosen], inputs)
        return dict(zip(chosen, outputs, strict=True))

    def _block_losses(
        self,
        block: Block,
        copies: dict[str, Tensor] | None,
        measure: Measure | None,
        outputs: Tensor | None = None,
    ) -> dict[int, Tensor]:
        """The block's losses by term.

        Args:
            block: The block.
            copies: What takes the place of the network's parameters.
            measure: What takes the place of the loss functions.
            outputs: The network's outputs, if they are there already.
        """
        net = self.model.net

        def call(x: Tensor) -> Tensor:
            return net(x) if copies is None else functional_call(net, copies, x, tie_weights=False)

        net.auxiliary_vars = block.auxiliary_vars
        x = block.inputs.detach().requires_grad_()
        u = call(x) if outputs is None else outputs
        if block.slices is None:
            errors = self._residuals(x, u, call)
        else:
            errors = [
                self.groups.terms[i].condition.error(block.points, x, u, beg, end)
                for i, (beg, end) in zip(block.terms, block.slices, strict=True)
            ]
        measure = measure or self._loss
        return {i: measure(i, error) for i, error in zip(block.terms, errors, strict=True)}

    def _loss(self, term: int, error: Tensor) -> Tensor:
        return self._loss_fns[term](torch.zeros_like(error), error)

    def _residuals(self, x: Tensor, u: Tensor, call: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """What the user's PDE gives, as ``dde.data.PDE.losses`` asks it."""
        pde = self.model.data.pde
        outputs = (u, call) if dde.config.autodiff == "forward" else u
        if self._pde_takes_auxiliary_vars:
            residuals = pde(x, outputs, self.model.net.auxiliary_vars)
        else:
            residuals = pde(x, outputs)
        return list(residuals) if isinstance(residuals, (list, tuple)) else [residuals]

    def _take(self, batch: Batch) -> None:
        """Cuts a batch into blocks, unless it is the one that was cut last."""
        if not self.model.net.training:
            self.model.net.train()
        if self.seen is not None and self.seen.is_(batch):
            return
        starts = np.cumsum([0, *self.model.data.num_bcs])
        residuals = [i for i, term in enumerate(self.groups.terms) if term.condition is None]
        conditions = [i for i, term in enumerate(self.groups.terms) if term.condition is not None]
        spans = dict(zip(conditions, itertools.pairwise(starts), strict=True))

        def of_conditions(terms: Sequence[int]) -> list[Block]:
            chosen = [i for i in terms if i in spans]
            if not chosen:
                return []
            lengths = np.cumsum([0] + [spans[i][1] - spans[i][0] for i in chosen]).tolist()
            slices = tuple(itertools.pairwise(lengths))
            where = np.concatenate([np.arange(*spans[i]) for i in chosen])
            return [self._block(batch, chosen, where, slices)]

        rest = np.arange(starts[-1], len(batch.inputs))
        of_residuals = [self._block(batch, residuals, rest, None)] if residuals else []
        self._shared_blocks = of_residuals + of_conditions(conditions)
        self._row_blocks = of_residuals + [
            b for row in self.groups.rows for b in of_conditions(row)
        ]
        self._blocks_of_values = [
            k
            for k, block in enumerate(self._row_blocks)
            if block.auxiliary_vars is None
            and all(compares_values(self.groups.terms[i].condition) for i in block.terms)
        ]
        self.seen = BatchSnapshot(batch)

    def _block(
        self,
        batch: Batch,
        terms: Sequence[int],
        where: np.ndarray,
        slices: tuple[tuple[int, int], ...] | None,
    ) -> Block:
        device = next(self.model.net.parameters()).device
        points = batch.inputs[where]
        auxiliary = batch.auxiliary_vars
        if auxiliary is not None:
            auxiliary = torch.as_tensor(auxiliary[where], device=device)
        inputs = torch.as_tensor(points, device=device)
        return Block(tuple(terms), points, inputs, auxiliary, slices)


def _differentiate(parts: Sequence[Part], num_rows: int) -> list[list[Tensor | None]]:
    """Each row's gradient at its copies.

    Args:
        parts: The rows' losses in the blocks.
        num_rows: How many rows there are.

    Returns:
        For each row a gradient for each parameter, ``None`` where it does not depend on it.
    """
    num_parameters = len(parts[0].copies)
    per_row: list[list[Tensor | None]] = [[None] * num_parameters for _ in range(num_rows)]
    passes: list[list[Part]] = []
    for part in parts:  # a pass takes at most one row of each block, so that no copies are shared
        for members in passes:
            if all(other.copies is not part.copies for other in members):
                members.append(part)
                break
        else:
            passes.append([part])
    for number, members in enumerate(passes):
        copies = [copy for part in members for copy in part.copies]
        losses = [part.loss for part in members]
        gradients = iter(grad(losses, copies, keep_graph=number < len(passes) - 1))
        for part in members:
            for k in range(num_parameters):
                g, before = next(gradients), per_row[part.row][k]
                per_row[part.row][k] = g if before is None else before if g is None else before + g
    return per_row
