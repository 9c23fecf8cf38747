"""benchmarks/scale.py: its cases, and the memory of a training in passes."""

import argparse

import pytest
import scale


def arguments(**given):
    defaults = {"rounds": 1, "limit": 6.0, "seconds": 500.0, "width": 8}
    return argparse.Namespace(**(defaults | given))


def test_cases():
    given = arguments(points=[100, 200], groups=[2, 5], engines=["stock", "passes"])
    assert [tuple(case.values()) for case in scale.cases_of(given)] == [
        ("stock", 100, 2),
        ("passes", 100, 2),
        ("stock", 200, 2),
        ("passes", 200, 2),
        ("stock", 10000, 5),
        ("passes", 10000, 5),
    ]


def test_a_table():
    done = {"microseconds_per_point": 12.34, "peak_mib": 700.0, "imports_mib": 400.0}
    cases = [
        {"engine": "stock", "points": 9, "groups": 2, "left_out": "more than 6 GiB"},
        {"engine": "passes", "points": 7, "groups": 2, **done},
    ]
    row = {"points_per_pass": 3, "points": 7, "ratio": 0.8}
    ratios = [{"width": 50, "rounds": 2, "at_once": 7, "ratios": [row]}]
    lines = scale.markdown({"cases": cases, "ratios": ratios}).splitlines()
    assert "| 7 | 2 | passes | 12.3 | 700 | 300 |" in lines
    assert "| 9 | 2 | stock | more than 6 GiB | | |" in lines
    assert "| 7 points, 3 a pass | 0.80 |" in lines


@pytest.mark.slow
def test_memory_does_not_grow_with_the_points():
    """100000 points in passes take less than half of what they take at once beyond the imports."""
    own = {}
    for engine in ("one-pass", "passes"):
        case = {"engine": engine, "points": 100000, "groups": 2}
        found = scale.in_own_process(case, arguments())
        own[engine] = found["peak_mib"] - found["imports_mib"]
    assert own["passes"] < 0.5 * own["one-pass"]
