"""Whether a compilation pays, by sums worked out by hand."""

import pytest

from deepxde_balance.gradients.compiled.pay_off import (
    COMPILE_SECONDS,
    EXPECTED_SAVING,
    TRACES_OF_A_COMPILATION,
    Lasting,
    PayOff,
)


def measured(uncompiled, compiled=None, trace=None, compilation=None):
    pay_off = PayOff()
    for _ in range(2):
        pay_off.note(1000.0, compiled=False)  # the first iterations do not count
    for _ in range(20):
        pay_off.note(uncompiled, compiled=False)
        if compiled is not None:
            pay_off.note(compiled, compiled=True)
    pay_off.trace_seconds, pay_off.compile_seconds = trace, compilation
    return pay_off


def pays(pay_off, left, points=None, values=None, compile_now=True):
    return pay_off.pays(left, Lasting(points), Lasting(values), compile_now)


def test_nothing_pays_before_anything_is_measured():
    pay_off = PayOff()
    for _ in range(5):
        pay_off.note(10.0, compiled=False)
    assert not pays(pay_off, 10**9)


def test_before_the_first_compilation():
    """0.1 s an iteration: a trace is expected to take 1.5 + 10 * 0.1 = 2.5 s."""
    least = 1.5 * (COMPILE_SECONDS + 2.5) / (0.1 * EXPECTED_SAVING)
    pay_off = measured(0.1)
    assert pays(pay_off, int(least) + 2)
    assert not pays(pay_off, int(least) - 2)
    assert not pays(measured(0.002), 2000)  # a tiny problem


def test_many_operations_are_expected_to_take_longer_to_compile():
    """0.1 s an iteration; 3.2 - 2 * 0.1 = 3 s to record the operations, 60 to compile them.

    1.5 * (60 + 3.2) = 94.8 s are saved in 94.8 / 0.03 = 3160 iterations.
    """
    assert (COMPILE_SECONDS, EXPECTED_SAVING, TRACES_OF_A_COMPILATION) == (40.0, 0.3, 20.0)
    pay_off = measured(0.1, trace=3.2)
    assert pays(pay_off, 3162) and not pays(pay_off, 3158)
    few = measured(0.1, trace=1.2)  # 20 s, no less than the 40: 1.5 * (40 + 1.2) / 0.03 = 2060
    assert pays(few, 2062) and not pays(few, 2058)


def test_measured_times():
    """0.1 - 0.04 = 0.06 s are saved an iteration, of 1.5 * (30 + 3) = 49.5 s: 825 iterations."""
    pay_off = measured(0.1, 0.04, trace=3.0, compilation=30.0)
    assert pays(pay_off, 827) and not pays(pay_off, 823)
    assert pays(pay_off, 77, compile_now=False)  # 1.5 * 3 = 4.5 s: 75 iterations
    assert not pays(pay_off, 73, compile_now=False)


@pytest.mark.parametrize("period, good", [(74, False), (76, True)])
def test_points_that_are_new_again_and_again(period, good):
    """Each period saves 0.06 s an iteration, and takes a trace of 1.5 * 3 s."""
    pay_off = measured(0.1, 0.04, trace=3.0, compilation=30.0)
    assert pays(pay_off, 10**6, points=period, compile_now=False) is good


@pytest.mark.parametrize("period, good", [(820, False), (830, True)])
def test_numbers_that_are_new_again_and_again(period, good):
    """Each period takes a compilation, too: 1.5 * (30 + 3) / 0.06 = 825."""
    pay_off = measured(0.1, 0.04, trace=3.0, compilation=30.0)
    assert pays(pay_off, 10**6, values=period) is good


def test_a_compiled_iteration_that_is_no_faster():
    assert measured(0.1, 0.11).saving == pytest.approx(-0.1)
    assert not pays(measured(0.1, 0.11, trace=0.0, compilation=0.0), 10**6)


def test_what_changed_is_expected_to_last_as_long_again():
    lasting = Lasting()
    assert lasting.expected(500) == 500
    lasting.held = 40
    lasting.end()
    assert lasting.expected(500) == 40
    lasting.held = 90
    assert lasting.expected(500) == 90
    assert lasting.expected(30) == 30


@pytest.mark.parametrize(
    ("compiled", "nothing"),
    [
        ([1.1] * 100, True),
        ([1.1] * 99, False),  # too few to tell
        ([0.6] * 5 + [1.8] * 200, False),  # the machine has become busy
    ],
)
def test_compiled_iterations_that_gain_nothing(compiled, nothing):
    pay_off = measured(1.0)
    for seconds in compiled:
        pay_off.note(seconds, compiled=True)
    assert pay_off.gains_nothing == nothing
