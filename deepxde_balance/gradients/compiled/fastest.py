"""The engine that compiles the iteration by itself, where that pays and can't go stale."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import deepxde as dde
from torch import Tensor

from ..._deepxde.batch import Batch, BatchSnapshot
from ..._deepxde.nncg import is_nncg
from ...terms.groups import TermGroups
from ..base import GradientEngine, IterationGradients, Measure, StatefulMeasure
from ..checked import CheckedEngine
from ..one_pass import OnePassEngine
from ..watched.reads import Reads, reads_of
from .comparison import Comparison
from .engine import StaleError
from .iteration import CompiledIteration, compile_graph, trace_iteration
from .no_values import no_values
from .pay_off import Lasting, PayOff

#: What is read must have stayed for so many iterations before anything is traced.
_WATCHED_FIRST = 3

#: What stayed for fewer iterations is watched again only after a while, and longer each time.
_SHORT = 20
_LONGEST_WAIT = 512

#: Between two checks of what the watching is for. A check costs about three uncompiled iterations.
_BETWEEN_CHECKS = 499
_FEWEST_TO_CHECK = 100

#: A compiled iteration takes all points at once. With more points than this, passes save memory.
MOST_POINTS = 50_000


class FastestEngine(GradientEngine):
    """An uncompiled engine at first, the compiled iteration when that pays.

    A training begins uncompiled and is measured. The iteration is traced and compiled when the
    iterations that are left save more than that costs (:class:`PayOff`). Whatever Python values the
    losses read are found first (:func:`reads_of`), and compared in each iteration: when one
    changes, the trace is given up, and made again if that pays. Where something is read that is not
    understood, values of tensors decide in Python, or there is no compiler, training goes on
    uncompiled, without a word.

    The evaluation must leave what it reads as it was, which is checked after the trace. Then the
    next evaluation finds the same, and so does the same.

    Args:
        model: The model.
        groups: The groups of its terms.
        scale: One static factor per term.
        uncompiled: The engine to use otherwise.
    """

    def __init__(
        self,
        model: dde.Model,
        groups: TermGroups,
        scale: Sequence[float],
        uncompiled: GradientEngine,
    ):
        super().__init__(model, groups, scale)
        self._uncompiled = uncompiled
        self._checked = CheckedEngine(model, groups, scale, must_hold=True)
        self._pay_off = PayOff()
        self._points, self._values = Lasting(), Lasting()
        self._last_step: int | None = None
        self._gave_up = False
        #: Iterations before what is read is looked for again, and how many that were the last time.
        self._wait = self._waited = 0
        #: Whether the next trace needs a compilation, as far as is known.
        self._compile_now = True
        self._evaluations = self._confirmed = 0
        self._forget()

    def _forget(self) -> None:
        """Forgets what is read, traced and compiled."""
        self._reads: Reads | None = None
        self._seen: BatchSnapshot | None = None
        self._trained: list[Tensor] = []
        self._iteration: CompiledIteration | None = None
        self._at_trace: Comparison | None = None
        #: The last compiled iteration, whose function may serve the next.
        self._last: CompiledIteration | None = None
        #: The compiled iteration during an iteration of the training.
        self._active: CompiledIteration | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The state for a copy, which watches, traces and compiles by itself."""
        state = dict(vars(self))
        left_out = ["_reads", "_seen", "_iteration", "_at_trace", "_last", "_active"]
        return state | dict.fromkeys(left_out) | {"_trained": [], "_compile_now": True}

    @property
    def name(self) -> str:
        return self._uncompiled.name if self._iteration is None else "compiled"

    @property
    def prefers_gradients(self) -> bool:
        return self._active is not None or self._uncompiled.prefers_gradients

    @property
    def points_per_pass(self) -> int | None:
        return None if self._iteration is not None else self._uncompiled.points_per_pass

    def outputs_losses(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor] | None:
        return self._uncompiled.outputs_losses(batch, training)

    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        return self._uncompiled.losses(batch, measure)

    def errors_in_turn(
        self, batch: Batch, weigh: Measure | None = None
    ) -> Iterator[Mapping[int, Tensor]]:
        return self._uncompiled.errors_in_turn(batch, weigh)

    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        if self._active is not None and self._active.measure is measure:
            try:
                return self._active.evaluate()
            except Exception:  # the uncompiled engine raises it, if it is the model's
                self._give_up()
        return self._uncompiled.gradients(batch, measure)

    def begin(self, last_step: int | None = None) -> None:
        # NNCG differentiates the losses itself.
        self._last_step = None if is_nncg(self.model.opt) else last_step
        callbacks = [] if self.model.callbacks is None else self.model.callbacks.callbacks
        resample = dde.callbacks.PDEPointResampler
        periods = [c.period for c in callbacks if isinstance(c, resample)]
        if periods:
            self._points.lasted = min(periods)
        self._uncompiled.begin(last_step)

    @contextmanager
    def iteration(self, batch: Batch, measure: Measure | None) -> Iterator[None]:
        self._active = active = self._next(batch, measure)
        start = time.perf_counter()
        try:
            yield
        finally:
            self._active = None
        if active is None or self._iteration is active:
            self._pay_off.note(time.perf_counter() - start, compiled=active is not None)

    def confirm(self) -> None:
        self._uncompiled.confirm()
        if self._evaluations - self._confirmed >= _FEWEST_TO_CHECK:
            self._check()

    def _next(self, batch: Batch, measure: Measure | None) -> CompiledIteration | None:
        """The compiled iteration; ``None`` where the next one is to be uncompiled."""
        left = 0 if self._last_step is None else self._last_step - self.model.train_state.step
        if self._gave_up or left < 1:
            return None
        if measure is not None and not isinstance(measure, StatefulMeasure):
            return None
        try:
            return self._follow(batch, measure, left)
        except StaleError:
            raise
        except Exception:  # what the uncompiled engine can evaluate must train
            self._give_up()
            return None

    def _follow(
        self, batch: Batch, measure: StatefulMeasure | None, left: int
    ) -> CompiledIteration | None:
        """Watches what is read, and traces, compiles or gives up the trace."""
        if not self.model.net.training:  # as each evaluation does; a record leaves it in another
            self.model.net.train()
        if self._reads is None:
            if self._wait > 0:
                self._wait -= 1
            elif self._pays(left):
                self._look(batch, measure)
            return None
        if not self._holds(batch, measure):
            return None
        self._points.held += 1
        self._values.held += 1
        if self._iteration is None:
            if self._values.held < _WATCHED_FIRST or not self._pays(left):
                return None
            self._trace(batch, measure, left)
        elif self._pay_off.gains_nothing:
            self._give_up()
        elif self._evaluations - self._confirmed >= _BETWEEN_CHECKS:
            self._check()
        self._evaluations += self._iteration is not None
        return self._iteration

    def _pays(self, left: int) -> bool:
        return self._pay_off.pays(left, self._points, self._values, self._compile_now)

    def _look(self, batch: Batch, measure: StatefulMeasure | None) -> None:
        """Finds what the losses read. Nothing is evaluated: an evaluation might change it.

        Raises:
            Exception: If it is not understood.
        """
        if len(batch.inputs) > MOST_POINTS:
            raise ValueError("the points are too many to be taken at once")
        settings = [] if measure is None else measure.settings()
        self._reads = reads_of(self.model, settings)
        self._seen, self._trained = BatchSnapshot(batch), self.parameters().all

    def _holds(self, batch: Batch, measure: StatefulMeasure | None) -> bool:
        """Whether what is read is as it was; if not, the trace is given up."""
        assert self._reads is not None and self._seen is not None
        trained = self.parameters().all
        same_values = (
            self._reads.unchanged()
            and len(trained) == len(self._trained)
            and all(p is q for p, q in zip(trained, self._trained, strict=True))
        )
        same_points = self._seen.is_(batch)
        if self._iteration is not None and same_values and same_points:
            same_values = self._iteration.is_of(batch, self.parameters(), measure)
        if same_values and same_points:
            return True
        short = min(self._points.held, self._values.held) < _SHORT
        self._waited = min(_LONGEST_WAIT, 2 * self._waited + 1) if short else 0
        self._wait = self._waited
        if not same_values:
            self._checked.begin()  # it is to check the losses anew before the next trace
            self._values.end()
            self._compile_now = True
        if not same_points:
            self._points.end()
        self._reads = self._iteration = None
        return False

    def _trace(self, batch: Batch, measure: StatefulMeasure | None, left: int) -> None:
        """Traces the iteration, and compiles it if its operations differ from those before.

        Raises:
            Exception: If it can't be traced or compiled, changes what it reads, or would give other
                results than the one-pass engine.
        """
        assert self._reads is not None
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what PyTorch's compiler has to say
            guard = partial(no_values, self._reads.storages)
            one_pass = self._checked.checked(batch, new_points=True)
            assert isinstance(one_pass, OnePassEngine)
            for function in one_pass.loss_fns:
                self._reads.add(function)
            iteration = trace_iteration(one_pass, batch, measure, guard)
            traced = time.perf_counter()
            self._pay_off.trace_seconds = traced - start
            last = self._last
            self._compile_now = not (
                last is not None
                and last.trains(iteration.parameters)
                and last.traced.same_operations(iteration.traced)
            )
            if not self._compile_now:
                assert last is not None
                iteration = replace(iteration, function=last.function)
            elif self._pays(left):
                function = compile_graph(iteration.traced)
                iteration = replace(iteration, function=function)
            else:
                return
            at_trace = iteration.compare()  # the first call compiles
            if self._compile_now:
                self._pay_off.compile_seconds = time.perf_counter() - traced
        if at_trace.differs().any():
            raise ValueError("its results would not be those of the one-pass engine")
        if not self._reads.unchanged():
            raise ValueError("the evaluation changes what it reads")
        self._iteration = self._last = iteration
        self._at_trace, self._compile_now = at_trace, False

    def _check(self) -> None:
        """Compares the compiled iteration with the one-pass engine.

        Raises:
            StaleError: If the difference is too large for any rounding.
        """
        if self._iteration is None or self._at_trace is None:
            return
        self._confirmed = self._evaluations
        difference = self._iteration.difference(self._at_trace, self.groups)
        if difference is None:
            return
        self._give_up()
        text = (
            f"After {self._evaluations} compiled evaluations, {difference.terms} differs from the "
            "uncompiled losses and gradients by more than rounding should make: something that "
            "is read has changed unnoticed, and the last iterations may not have followed"
        )
        if difference.plain:
            raise StaleError(f'{text}. Compile without gradient_engine="fastest".')
        warnings.warn(f"{text}. From now on, they are computed uncompiled.", stacklevel=2)

    def _give_up(self) -> None:
        """Uses the uncompiled engine from now on."""
        self._gave_up = True
        self._forget()
