"""The points of a search: where they lead, how they go on, what is never asked twice."""

import json
import math
from typing import Any

import pytest
from skopt.space import Real

from deepxde_balance.experiments.run import OtherRunError
from deepxde_balance.experiments.search import Search, alone, objective
from deepxde_balance.experiments.search_space import read_space
from deepxde_balance.results.record import RecordError
from deepxde_balance.terms.groups import group_terms
from deepxde_balance.terms.term import Term

GROUPS = group_terms([Term("pde"), Term("bc0", 0), Term("bc1", 1)])
TWO = {"bc0": (1, 1e4), "bc1": (1, 1e4)}


def search(path, space=TWO, random_state=0, **identity):
    return Search(read_space(space, GROUPS), path, identity, random_state)


def bowl(point):
    """1 where bc0 = 100 and bc1 = 10, and more elsewhere."""
    return 1 + sum((math.log10(point[k]) - c) ** 2 for k, c in (("bc0", 2), ("bc1", 1)))


def run(one, calls, at_a_time=1, value=bowl, stop_at=math.inf):
    """All points of a search in their order, or those until it is stopped."""
    points: list[Any] = []
    while len(points) < min(calls, stop_at):
        new = one.ask(at_a_time, calls - len(points))
        if not new:
            break
        one.tell(new, [value(point) for point in new], [{} for _ in new])
        points += new
    return points


def test_it_finds_the_bottom_of_a_bowl(tmp_path):
    points = run(search(tmp_path / "s.json", random_state=2), 16)
    assert points[0] == {"bc0": 1, "bc1": 1}
    assert min(map(bowl, points)) < 1.05 < min(map(bowl, points[:6]))


def test_the_first_points_are_spread(tmp_path):
    """The six first points have one in each sixth of each scale, apart from the start."""
    points = run(search(tmp_path / "s.json"), 6)[1:]
    for name in ("bc0", "bc1"):
        sixths = [math.floor(math.log10(point[name]) / 4 * 6) for point in points]
        assert len(set(sixths)) == 5


def test_the_start_is_not_rounded(tmp_path):
    """To about a thousandth of this range, 1 is 0."""
    path = tmp_path / "s.json"
    one = search(path, {"bc0": Real(0, 1e4)})
    assert one.ask(1, 5) == [{"bc0": 1}]
    (entry,) = json.loads(path.read_text())["batches"][0]
    assert entry == {"strategy": "fixed:bc0=1", "point": [1]}
    assert search(path, {"bc0": Real(0, 1e4)}).ask(1, 5) == [{"bc0": 1}]
    one.tell([{"bc0": 1}], [1.0], [{}])
    assert all(point["bc0"] % 10 == 0 for point in one.ask(3, 4))


@pytest.mark.parametrize(
    "calls, at_a_time, sizes",
    [
        (15, 20, [6, 3, 3, 3]),
        (8, 20, [6, 1, 1]),
        (4, 20, [4]),
        (9, 2, [2, 2, 2, 1, 1, 1]),
    ],
)
def test_most_points_are_asked_for_with_values_of_others(calls, at_a_time, sizes, tmp_path):
    """However many may be asked for at a time: six without, then a fifth of all."""
    path = tmp_path / "s.json"
    assert len(run(search(path), calls, at_a_time)) == calls
    assert [len(batch) for batch in json.loads(path.read_text())["batches"]] == sizes


def test_the_seed_of_the_search_changes_its_points(tmp_path):
    first, same, other = (
        run(search(tmp_path / f"{i}.json", random_state=state), 8)
        for i, state in enumerate((0, 0, 1))
    )
    assert first == same != other


@pytest.mark.parametrize("at_a_time", [1, 3])
def test_it_goes_on_with_the_points_of_an_unbroken_search(at_a_time, tmp_path):
    unbroken = run(search(tmp_path / "unbroken.json"), 9, at_a_time)
    for stopped in (6, 8):
        path = tmp_path / f"{stopped}.json"
        one = search(path)
        known = run(one, stopped, at_a_time)
        if at_a_time == 1:
            one.ask(1, 1)  # asked for, but not told
        again = run(search(path), 9, at_a_time)
        assert again[: len(known)] == known
        if at_a_time == 1 or stopped % at_a_time == 0:
            assert again == unbroken


def test_its_random_numbers_go_on_too(tmp_path):
    """In a small space, where points that were asked for before are replaced by random ones."""
    space = ("dn", {"update_every": (1, 40)})

    def value(point):
        return float(point["update_every"])

    unbroken = run(search(tmp_path / "unbroken.json", space), 12, 3, value)
    run(search(tmp_path / "s.json", space), 12, 3, value, stop_at=6)
    assert run(search(tmp_path / "s.json", space), 12, 3, value) == unbroken


def test_points_are_in_the_file_before_they_have_values(tmp_path):
    """Also if it is asked for other numbers of points afterwards."""
    asked = search(tmp_path / "s.json").ask(3, 10)
    assert len(asked) == 3
    assert search(tmp_path / "s.json").ask(1, 10) == asked
    assert search(tmp_path / "s.json").ask(1, 2) == asked[:2]


def test_points_of_the_file_win(tmp_path):
    """What another version of scikit-optimize would ask for does not matter."""
    path = tmp_path / "s.json"
    run(search(path), 7)
    content = json.loads(path.read_text())
    content["batches"][6][0]["point"] = [17.0, 23.0]
    path.write_text(json.dumps(content))
    assert run(search(path), 7)[6] == {"bc0": 17.0, "bc1": 23.0}


def test_more_calls_go_on_from_the_end(tmp_path):
    path = tmp_path / "s.json"
    few = run(search(path), 7)
    assert run(search(path), 10) == run(search(tmp_path / "at_once.json"), 10)
    assert run(search(path), 7) == few
    assert run(search(path), 5) == few[:5]


@pytest.mark.parametrize("at_a_time", [1, 4])
@pytest.mark.parametrize(
    "space, number",
    [
        ({"bc0": [1, 10, 100]}, 3),
        (("dn", {"update_every": (1, 5), "p": [1, 2]}), 10),
        (("dn", {"p": [1, 2, math.inf]}), 3),
    ],
)
def test_no_point_is_asked_for_twice(space, number, at_a_time, tmp_path):
    def value(point):
        return float(sum(map(len, map(str, point.values()))))

    points = run(search(tmp_path / "s.json", space), 30, at_a_time, value)
    assert len(points) == len({repr(point) for point in points}) == number
    assert run(search(tmp_path / "s.json", space), 30, at_a_time, value) == points


def test_failures_are_kept(tmp_path):
    path = tmp_path / "s.json"
    one = search(path)
    points = one.ask(2, 2)
    assert one.failures() == [{}, {}]
    one.tell(points, [1.0, math.nan], [{}, {0: "ValueError: no", 2: "too"}])
    again = search(path)
    again.ask(2, 2)
    assert again.failures() == [{}, {0: "ValueError: no", 2: "too"}]
    again.forget()
    assert not path.exists()


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_values_that_are_not_finite_lead_away(bad, tmp_path):
    """With no value in the half that has the bottom, the search stays in the other half."""

    def value(point):
        return bad if point["bc0"] > 30 else bowl(point)

    points = run(search(tmp_path / "s.json"), 16, value=value)
    late = points[8:]
    assert sum(point["bc0"] <= 30 for point in late) > len(late) / 2
    assert min(bowl(point) for point in points if point["bc0"] <= 30) < 1.5


def test_earlier_values_are_seen_anew(tmp_path):
    """What is the worst, and whether there are logarithms, may change with each value."""
    one = search(tmp_path / "s.json")
    seen = []
    for value in (2.0, math.nan, 8.0, -1.0):
        one.tell(one.ask(1, 9), [value], [{}])
        seen.append(list(one._optimizer.yi))
    two, eight = math.log(2), math.log(8)
    assert seen == [[two], [two, two], [two, eight, eight], [2.0, 8.0, 8.0, -1.0]]


def test_a_search_without_any_value(tmp_path):
    points = run(search(tmp_path / "s.json"), 8, value=lambda point: math.nan)
    assert len(points) == 8


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1.0, 100.0], [0.0, math.log(100)]),
        ([10.0, math.nan, 2.0], [math.log(10), math.log(10), math.log(2)]),
        ([0.0, 3.0, math.inf], [0.0, 3.0, 3.0]),
        ([-1.0, -math.inf, 2.0], [-1.0, 2.0, 2.0]),
        ([math.nan], [0.0]),
    ],
)
def test_what_the_model_sees(values, expected):
    assert objective(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"random_state": 1}, "random_state there 0, here 1. Choose another folder"),
        ({"space": {"bc0": (1, 1e3), "bc1": (1, 1e4)}}, "space there .*10000.0.* here .*1000.0"),
        ({"space": ("dn", {"beta": (0.5, 0.9)})}, "strategy there fixed, here dn"),
        ({"problem": "other"}, "problem there mine, here other"),
    ],
)
def test_the_file_of_another_search(change, message, tmp_path):
    path = tmp_path / "s.json"
    run(search(path, problem="mine"), 2)
    before = path.read_text()
    with pytest.raises(OtherRunError, match=message):
        search(path, **({"problem": "mine"} | change))
    assert path.read_text() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t[:-9],
        lambda t: "[]",
        lambda t: t.replace("[1, 1]", "[]"),
        lambda t: t.replace("[1, 1]", "[1, 20000]"),
    ],
)
def test_a_damaged_file(damage, tmp_path):
    path = tmp_path / "s.json"
    run(search(path), 1)
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError, match=r"s\.json: damaged. Delete it: the finished runs"):
        search(path)


def test_one_process_at_a_time(tmp_path):
    path = tmp_path / "new" / "s.json"
    blocked = pytest.raises(BlockingIOError, match=r"s\.json: another process is in this search")
    with alone(path), blocked, alone(path):
        pass
    with alone(path):
        pass
