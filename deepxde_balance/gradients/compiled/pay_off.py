"""Whether compiling an iteration pays for itself in the iterations that are left."""

from __future__ import annotations

import math
import statistics
from collections import deque

#: Iterations of each kind whose median time is taken. The first ones are checked, and not counted.
_MEASURED = 12
_FIRST = 2

#: What is expected before anything was measured, on the careful side. Compiled iterations took 0.44
#: to 0.97 of stock DeepXDE's (docs/speed.md), and a compilation half a minute.
EXPECTED_SAVING = 0.3
COMPILE_SECONDS = 40.0

#: A trace with its checks takes as long as so many uncompiled iterations, and so many seconds more.
_TRACE_ITERATIONS = 10
_TRACE_SECONDS = 1.5

#: A compilation is expected to take so many times as long as recording the operations: longer for
#: more operations, and on a slow machine. A choice, on the careful side: the cavity's took 9 times
#: as long (benchmarks/results/whole_training.json).
TRACES_OF_A_COMPILATION = 20.0

#: A trace evaluates the iteration so many times, besides recording it.
_EVALUATIONS_IN_TRACE = 2

#: Compiled iterations after which they must have been faster once.
_ENOUGH = 100

#: What is saved must be so many times what is paid.
_MARGIN = 1.5


class Lasting:
    """For how many iterations something stays as it is.

    Args:
        lasted: For how many it stayed before its last change; ``None`` if it never changed.
    """

    def __init__(self, lasted: int | None = None):
        self.lasted = lasted
        #: For how many iterations it has stayed now.
        self.held = 0

    def end(self) -> None:
        """Called when it changes."""
        self.lasted, self.held = self.held, 0

    def expected(self, left: int) -> int:
        """For how many of the iterations that are left it is expected to stay.

        What never changed is expected to stay; what changed, as long as it did before, or has
        stayed already.

        Args:
            left: The iterations that are left, at least 1.
        """
        if self.lasted is None:
            return left
        return max(1, min(left, max(self.lasted, self.held)))


class PayOff:
    """Measures iterations, traces and compilations, and weighs what they cost and save."""

    def __init__(self) -> None:
        self._seconds: dict[bool, deque[float]] = {
            compiled: deque(maxlen=_MEASURED) for compiled in (False, True)
        }
        self._shortest = {False: math.inf, True: math.inf}
        self._compiled = 0
        self._to_skip = _FIRST
        #: The last trace and the last compilation.
        self.trace_seconds: float | None = None
        self.compile_seconds: float | None = None

    def note(self, seconds: float, compiled: bool) -> None:
        """Notes the time of an iteration.

        Args:
            seconds: Its time.
            compiled: Whether it was a compiled one.
        """
        if self._to_skip:
            self._to_skip -= 1
        else:
            self._seconds[compiled].append(seconds)
            self._shortest[compiled] = min(seconds, self._shortest[compiled])
            self._compiled += compiled

    @property
    def gains_nothing(self) -> bool:
        """Whether no compiled iteration was as fast as the fastest uncompiled one.

        The shortest times are compared: uncompiled iterations were measured at the beginning, and a
        machine that has become busy since makes all iterations longer, but not the shortest ones.
        """
        return self._compiled >= _ENOUGH and self._shortest[True] >= self._shortest[False]

    @property
    def measured(self) -> bool:
        """Whether enough uncompiled iterations were measured."""
        return len(self._seconds[False]) == _MEASURED

    @property
    def saving(self) -> float:
        """The part of an uncompiled iteration's time that a compiled one saves."""
        if len(self._seconds[True]) < _MEASURED:
            return EXPECTED_SAVING
        compiled, uncompiled = (statistics.median(self._seconds[kind]) for kind in (True, False))
        return 1 - compiled / uncompiled

    def pays(self, left: int, points: Lasting, values: Lasting, compile_now: bool) -> bool:
        """Whether a trace pays, and a compilation where one is needed.

        Args:
            left: The iterations that are left.
            points: How long the points stay; new ones take a trace.
            values: How long what else is read stays; new ones take a compilation, too.
            compile_now: Whether the trace that is asked for needs a compilation.
        """
        if left < 1 or not self.measured:
            return False
        of_points, of_values = points.expected(left), values.expected(left)
        uncompiled = statistics.median(self._seconds[False])
        trace = self.trace_seconds
        if trace is None:
            trace = _TRACE_SECONDS + _TRACE_ITERATIONS * uncompiled
        compilation = self.compile_seconds
        if compilation is None:
            compilation = self._expected_compilation(uncompiled)
        traces = left / min(of_points, of_values)
        compilations = left / of_values - (0 if compile_now else 1)
        costs = traces * trace + compilations * compilation
        return left * uncompiled * self.saving > _MARGIN * costs

    def _expected_compilation(self, uncompiled: float) -> float:
        """The seconds of a compilation, before there was one.

        Args:
            uncompiled: The seconds of an uncompiled iteration.
        """
        if self.trace_seconds is None:
            return COMPILE_SECONDS
        recording = self.trace_seconds - _EVALUATIONS_IN_TRACE * uncompiled
        return max(COMPILE_SECONDS, TRACES_OF_A_COMPILATION * recording)
