"""Losses and gradients of several processes, each of which has a share of the points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .._deepxde.batch import Batch
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import unchanged_samplers
from .._deepxde.share import Part, Share
from .._deepxde.stock_losses import deepxde_losses
from ..ranks import Ranks
from .base import GradientEngine, IterationGradients, Measure, Measured, StatefulMeasure, grad
from .checked import CheckedEngine
from .compiled.engine import CompiledEngine
from .one_pass import LossFn, loss_functions
from .per_group import PerGroupEngine
from .rounding import machine_epsilon
from .used_by_ranks import UsedByRanks

_ALONE = "Train in a single process, without ddb.distributed()."


class AcrossRanks(GradientEngine):
    """Lets any engine compute on this rank's share of the points, and adds up over the ranks.

    A loss is a mean over points. Each rank's mean, times its part of the points, is added up, and
    so are the gradients. Losses and gradients of an iteration are one flat buffer, which is added
    up at once. A measure is given the errors at all points, of which those of other ranks do not
    depend on the parameters here.

    Args:
        engine: Computes losses and gradients of whatever points the problem has.
        ranks: The processes.
    """

    def __init__(self, engine: GradientEngine, ranks: Ranks):
        super().__init__(engine.model, engine.groups, engine.scale)
        self._engine = engine
        self._ranks = ranks
        #: The engine's may change on one rank alone, and all ranks must add up the same.
        self._prefers_gradients = engine.prefers_gradients
        self._share: Share | None = None
        self._parts: list[Part] = []
        self._means: _ShareOfMeans | None = None
        self._used = UsedByRanks(ranks)
        self._order = self._order_of_errors()
        #: Whether there is something to confirm.
        self._evaluated = False

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def prefers_gradients(self) -> bool:
        return self._prefers_gradients

    def begin(self, last_step: int | None = None) -> None:
        with self._exchanged():
            self._engine.begin(last_step)

    def confirm(self) -> None:
        """Checks what was computed since the last time, with the present parameters.

        Raises:
            RuntimeError: On every rank, if it was not that of all points.
        """
        with self._exchanged():
            self._engine.confirm()
        if not self._evaluated:
            return
        self._evaluated = False
        with unchanged_samplers(self.model.data):
            batch = Batch(*self.model.data.train_next_batch())
        reason, cause = self._reason_against(batch, trained=True)
        if reason is None and any(self._ranks.gather(self._used.changed)):
            reason = (
                "In the training, the losses came to depend on other parameters at the same "
                "points, which the other ranks were not told"
            )
        if reason is not None:
            raise RuntimeError(f"{reason}. {_ALONE}") from cause

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        share, own_measure = self._follow(batch, measure)
        with share.exchanged():
            own = torch.stack(self._engine.losses(share.batch, own_measure))
        summed: Callable[..., Tensor] = _SumOverRanks.apply
        contribution = self._contribution(own.detach(), measure)
        parameters = self.parameters().all
        losses = summed(self._ranks, self._used, [own], contribution, *parameters)
        return list(losses.unbind())

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        if isinstance(measure, StatefulMeasure) and isinstance(self._engine, CompiledEngine):
            self._leave_compiled(self._engine.asked)
        share, own_measure = self._follow(batch, measure)
        with share.exchanged():
            own = self._used.complete(self._engine.gradients(share.batch, own_measure))
        losses = self._contribution(own.losses, measure).to(own.values)
        flat = torch.cat([losses, own.values.reshape(-1)])
        self._ranks.add_up(flat)
        summed, values = flat.split([len(losses), own.values.numel()])
        return own._replace(losses=summed.to(own.losses), values=values.view_as(own.values))

    def own_errors(self, term: int, errors: Tensor) -> Tensor:
        part = self._parts[term]
        return errors[part.beg : part.end] if part.counts else errors[:0]

    def add_up(self, sums: Tensor) -> Tensor:
        total = sums.clone()
        self._ranks.add_up(total)
        return total

    def check(self, batch: Batch) -> None:
        """Checks that the ranks' losses add up to those of all points.

        It is done at compile, or in the first evaluation.

        Args:
            batch: All points.

        Raises:
            ValueError: On every rank, if they do not, or can't be evaluated at the share of one.
        """
        reason, cause = self._reason_against(batch)
        if reason is not None:
            self._means = None
            raise ValueError(f"{reason}. {_ALONE}") from cause

    def _reason_against(
        self, batch: Batch, trained: bool = False
    ) -> tuple[str | None, Exception | None]:
        """Says why the ranks can't share the losses, on every rank the same.

        Args:
            batch: All points.
            trained: Whether the losses may be small, with errors near their rounding.

        Returns:
            The reason and the error that was its cause on this rank; ``None`` without one.
        """
        model = self.model
        cause: Exception | None = None
        with no_trace(model.net), torch.enable_grad():
            expected, loss_fn = deepxde_losses(model, batch)
            whole = torch.stack([loss.detach() for loss in expected])
            own = torch.zeros_like(whole)
            try:
                if self._means is None or self._share is None or not self._share.is_of(batch):
                    self._cut(batch, loss_functions(loss_fn, len(expected)))
                assert self._share is not None
                with self._share.exchanged():
                    losses = self._engine.losses(self._share.batch, self._means)
                own = torch.stack(losses).detach()
            except Exception as error:  # perhaps on this rank alone, and all must raise
                cause = error
        told = None if cause is None else f"{type(cause).__name__}: {cause}"
        told_by_rank, engines = zip(*self._ranks.gather((told, self._engine.name)), strict=True)
        self._agree_on_engine(engines)
        failed = [(rank, text) for rank, text in enumerate(told_by_rank) if text]
        if failed:
            rank, text = failed[0]
            return (
                f"The losses can't be evaluated at the points of rank {rank} alone ({text})",
                cause,
            )
        summed = self.add_up(own)
        network = next(model.net.parameters()).dtype
        epsilon, difference = machine_epsilon(summed, network), (summed - whole).abs()
        wrong = ~(difference <= epsilon**0.5 * whole.abs() + 10 * epsilon) & whole.isfinite()
        if trained:
            wrong &= difference > torch.finfo(network).eps ** 0.25 * whole.abs()
        # Whatever one rank finds, all must raise.
        wrong = self.add_up(wrong.to(own)) > 0
        if not wrong.any():
            return None, None
        names = [t.name for t, w in zip(self.groups.terms, wrong.tolist(), strict=True) if w]
        return (
            f"The loss of {', '.join(names)} can't be shared by {self._ranks.size} ranks: computed "
            "in shares it is another one. A loss function that is no mean over the points, or a "
            "residual or condition that looks at several points at once, does that"
        ), None

    def _agree_on_engine(self, names: Sequence[str]) -> None:
        """Takes the per-group engine if a rank has had to.

        Args:
            names: The engines of all ranks.
        """
        if "per-group" not in names or isinstance(self._engine, PerGroupEngine):
            return
        if self._engine.name != "per-group":
            warnings.warn(
                f"Rank {names.index('per-group')} can't use the one-pass engine: from now on, each "
                "group takes a backward of its own on every rank, which is slower.",
                stacklevel=2,
            )
        self._engine = PerGroupEngine(self.model, self.groups, self.scale)
        self._order = self._order_of_errors()

    def _leave_compiled(self, asked: str) -> None:
        """Takes the one-pass engine where errors are exchanged in the middle of an iteration."""
        warnings.warn(
            f'gradient_engine="{asked}" can\'t be used with point weights on several ranks, whose '
            "errors are exchanged in each iteration: losses and gradients are computed "
            "uncompiled, which gives the same and is slower.",
            stacklevel=2,
        )
        self._engine = CheckedEngine(self.model, self.groups, self.scale, must_hold=False)
        self._prefers_gradients = False

    def _order_of_errors(self) -> list[int]:
        """The terms in the order in which the engine evaluates them in a single process.

        An engine may be replaced on one rank alone, and all must exchange errors in one order.
        """
        terms = self.groups.terms
        if isinstance(self._engine, PerGroupEngine):
            return list(range(len(terms)))
        residuals = [i for i, term in enumerate(terms) if term.condition is None]
        return residuals + [i for row in self.groups.rows for i in row if i not in residuals]

    def _follow(self, batch: Batch, measure: Measure | None) -> tuple[Share, Measure]:
        """This rank's share of the points, and what replaces the loss functions there."""
        if self._means is None:
            self.check(batch)
        self._evaluated = True
        assert self._share is not None and self._means is not None
        if not self._share.is_of(batch):
            self._cut(batch, self._means.functions)
        if measure is None:
            return self._share, self._means
        return self._share, _OfAllErrors(
            self._share, self._parts, self._order, self._ranks, measure
        )

    def _cut(self, batch: Batch, functions: Sequence[LossFn]) -> None:
        """Makes the share of new points."""
        share = Share(self.model.data, batch, self._ranks.rank, self._ranks.size)
        of_conditions = iter(share.conditions)
        self._parts = [
            share.residual if term.condition is None else next(of_conditions)
            for term in self.groups.terms
        ]
        self._means = _ShareOfMeans(functions, [part.factor for part in self._parts])
        self._share = share
        self._used.forget()

    def _contribution(self, losses: Tensor, measure: Measure | None) -> Tensor:
        """What this rank adds to the sum of losses. A measure gives every rank the whole losses."""
        return losses if measure is None else losses / self._ranks.size

    @contextmanager
    def _exchanged(self) -> Iterator[None]:
        """The context of the last share, if there is one."""
        if self._share is None:
            yield
            return
        with self._share.exchanged():
            yield


class _ShareOfMeans(StatefulMeasure):
    """Loss functions, each times the rank's part of the term's points. It has no state.

    Args:
        functions: DeepXDE's loss function of each term.
        factors: The rank's part of each term's points.
    """

    def __init__(self, functions: Sequence[LossFn], factors: Sequence[float]):
        self.functions = functions
        self._factors = factors

    def __call__(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        return {
            i: self._factors[i] * self.functions[i](torch.zeros_like(of_term), of_term)
            for i, of_term in errors.items()
        }

    def tensors(self) -> list[Tensor]:
        return []

    def settings(self) -> list[Any]:
        return []

    def measured(self, errors: Mapping[int, Tensor]) -> Measured:
        return Measured(self(errors), [], {})

    def take(self, changed: Sequence[Tensor], errors: Mapping[int, Tensor]) -> None:
        """Does nothing."""


class _OfAllErrors:
    """A measure of this rank's errors, from one of the errors at all points.

    Args:
        share: The rank's share.
        parts: The rank's part of each term.
        order: The terms in the order in which their errors are exchanged.
        ranks: The processes.
        measure: The measure of all errors.
    """

    def __init__(
        self,
        share: Share,
        parts: Sequence[Part],
        order: Sequence[int],
        ranks: Ranks,
        measure: Measure,
    ):
        self._share = share
        self._parts = parts
        self._order = order
        self._ranks = ranks
        self._measure = measure

    def __call__(self, errors: Mapping[int, Tensor]) -> Mapping[int, Tensor]:
        everywhere = self._everywhere({i: errors[i] for i in self._order})
        with self._share.exchanged():  # the measure may look at the points
            return self._measure(everywhere)

    def _everywhere(self, errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The errors of all ranks; those of this one depend on the parameters as before."""
        padded = {}
        for i, own in errors.items():
            part = self._parts[i]
            padded[i] = own.new_zeros(part.number, *own.shape[1:])
            if part.counts:
                padded[i][part.beg : part.end] = own.detach()
        flat = torch.cat([of_term.reshape(-1) for of_term in padded.values()])
        self._ranks.add_up(flat)
        gathered = flat.split([of_term.numel() for of_term in padded.values()])
        everywhere = {}
        for (i, own), of_all in zip(errors.items(), gathered, strict=True):
            part, values = self._parts[i], of_all.view_as(padded[i])
            if part.counts:
                everywhere[i] = torch.cat([values[: part.beg], own, values[part.end :]])
            else:  # of no weight, but the graph must be that of rank 0
                everywhere[i] = values + 0 * own
        return everywhere


class _SumOverRanks(torch.autograd.Function):
    """The sum of the ranks' losses; its backward adds the gradients up in one flat buffer."""

    @staticmethod
    def forward(
        ctx: Any,
        ranks: Ranks,
        used: UsedByRanks,
        own: list[Tensor],  # in a list, so that its graph is kept
        contribution: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.ranks, ctx.used, ctx.own, ctx.parameters = ranks, used, own, parameters
        total = contribution.clone()
        ranks.add_up(total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_losses: Tensor) -> Any:
        with torch.enable_grad():
            weighted = (ctx.own[0] * of_losses).sum()
        parameters = list(ctx.parameters)
        gradients = grad([weighted], parameters, retain_graph=False)
        reached = ctx.used.reached([g is not None for g in gradients], parameters)
        flat = torch.cat(
            [
                (torch.zeros_like(p) if g is None else g).reshape(-1)
                for g, p in zip(gradients, parameters, strict=True)
            ]
        )
        ctx.ranks.add_up(flat)
        summed = flat.split([p.numel() for p in parameters])
        of_parameters = [
            s.view_as(p).to(p) if anywhere else None
            for anywhere, s, p in zip(reached, summed, parameters, strict=True)
        ]
        return (None, None, None, None, *of_parameters)
