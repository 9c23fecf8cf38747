"""benchmarks/scale.py: its cases, its estimate, and the memory of a training in passes."""

import argparse

import deepxde as dde
import pytest
import scale


def arguments(**given):
    defaults = {"rounds": 1, "limit": 6.0, "seconds": 500.0, "width": 8}
    return argparse.Namespace(**(defaults | given))


def test_cases():
    engines = ["stock", "passes", "one-pass"]
    given = arguments(points=[100, 200], groups=[2, 5], ranks=[1, 2], engines=engines)
    assert [tuple(case.values()) for case in scale.cases_of(given)] == [
        *((engine, 100, 2, 1) for engine in engines),
        *((engine, 200, 2, 1) for engine in engines),
        *((engine, 10000, 5, 1) for engine in engines),
        ("one-pass", 100, 2, 2),
        ("one-pass", 200, 2, 2),
        ("one-pass", 10000, 5, 2),
    ]


def test_a_table():
    done = {"microseconds_per_point": 12.34, "peak_mib": 700.0, "imports_mib": 400.0}
    cases = [
        {"engine": "one-pass", "points": 8, "groups": 2, "ranks": 2, **done},
        {"engine": "stock", "points": 9, "groups": 2, "ranks": 1, "left_out": "more than 6 GiB"},
        {"engine": "passes", "points": 7, "groups": 2, "ranks": 1, **done},
    ]
    row = {"points_per_pass": 3, "points": 7, "ratio": 0.8}
    ratios = [{"width": 50, "rounds": 2, "at_once": 7, "ratios": [row]}]
    lines = scale.markdown({"cases": cases, "ratios": ratios}).splitlines()
    assert lines[2:5] == [
        "| 7 | 2 | 1 | passes | 12.3 | 700 | 300 |",
        "| 9 | 2 | 1 | stock | more than 6 GiB | | |",
        "| 8 | 2 | 2 | one-pass | 12.3 | 700 | 300 |",
    ]
    assert "| 7 points, 3 a pass | 0.80 |" in lines


def test_the_estimate():
    """Worked by hand: 1000 points, 3 groups of one term each, 100 parameters, 4 GPUs."""
    gpus = scale.Gpus(start=0.5, flops=1e6, evaluations=10, stage=0.25, bandwidth=303.0)
    # 10 x 2 x 100 operations a point: 2 ms; 250 points take 0.5 s.
    # 3 x 100 + 3 numbers, 1212 bytes, in 4 parts of 303 bytes: 6 stages of 0.25 s and 1 s each.
    assert gpus.step(1000, 100, 3, ranks=4) == pytest.approx(0.5 + 0.5 + 6 * 1.25)
    assert gpus.step(1000, 100, 3, ranks=1) == pytest.approx(0.5 + 2)
    net = dde.nn.FNN([2, 50, 50, 50, 1], "tanh", "Glorot normal")
    assert scale.parameters_of(50) == sum(p.numel() for p in net.parameters())


def test_the_points_of_the_conditions():
    model = scale.made("passes", 30, 2, width=4, condition_points=9)
    assert model.data.num_bcs == [5, 4]
    assert len(model.data.train_x) == 39


@pytest.mark.slow
def test_memory_does_not_grow_with_the_points():
    """100000 points in passes take less than half of what they take at once beyond the imports."""
    own = {}
    for engine in ("one-pass", "passes"):
        case = {"engine": engine, "points": 100000, "groups": 2, "ranks": 1}
        found = scale.in_own_process(case, arguments())
        own[engine] = found["peak_mib"] - found["imports_mib"]
    assert own["passes"] < 0.5 * own["one-pass"]
