"""The points of a search, chosen by scikit-optimize and written down, so that it can go on."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..results.record import RecordError, write_json
from .run import check_same
from .search_space import Point, SearchSpace

#: The most random points before the surrogate model is fitted.
_MOST_RANDOM = 10

#: Once the surrogate model is fitted, a batch has at most one in so many of all points.
_ONE_IN = 5

#: So many random points are looked through for one that is new.
_TRIES = 1000


class Search:
    """A search for the point with the lowest value.

    The surrogate model, a Gaussian process, sees the logarithms of the values, as long as all of
    them are above 0. A value that is not finite counts as the worst of the others.

    The points are in a file before they are trained. A search that finds such a file asks for the
    same points again, in batches of the same sizes.

    Args:
        space: The space.
        path: The file.
        identity: What tells this search from others, in the types of JSON.
        random_state: The seed of the random points.

    Raises:
        OtherRunError: If the file is of another search.
        RecordError: If it is damaged.
    """

    def __init__(
        self, space: SearchSpace, path: Path, identity: Mapping[str, Any], random_state: int
    ):
        from skopt import Optimizer

        self._space, self._path = space, path
        self._identity = {**identity, **space.identity, "random_state": random_state}
        #: The number of points before the surrogate model is fitted.
        self._random = min(2 * len(space.dimensions) + 2, _MOST_RANDOM)
        self._optimizer = Optimizer(
            [one.scikit() for one in space.dimensions],
            n_initial_points=self._random,
            initial_point_generator="lhs",
            random_state=random_state,
        )
        #: The batches in the file: for each point its coordinates and, once trained, its failures.
        self._batches: list[list[dict[str, Any]]] = self._read() if path.exists() else []
        #: The number of batches that were asked for.
        self._asked = 0
        self._known: set[str] = set()
        self._values: list[float] = []

    def ask(self, number: int, most: int) -> list[Point]:
        """The next batch of points.

        Args:
            number: How many at most. Those before the surrogate model may come together; after
                them, a fifth of all points. A batch that is in the file has its own number.
            most: The number of points that the search may still have.

        Returns:
            New points, fewer where the space has no others.
        """
        if self._asked < len(self._batches):
            batch = self._batches[self._asked]
            self._new_points(len(batch))  # brings the optimizer to where it was
        else:
            told = len(self._values)
            together = max(1, (told + most) // _ONE_IN, self._random - told)
            batch = [self._entry(p) for p in self._new_points(min(number, most, together))]
            if batch:
                self._batches.append(batch)
                self._write()
        self._asked += 1
        points = [self._point(entry["point"]) for entry in batch[:most]]
        self._known.update(map(self._key, points))
        return points

    def failures(self) -> list[dict[int, str]]:
        """The failures in the file for the points of the last batch: messages by seed."""
        batch = self._batches[self._asked - 1]
        return [{int(k): v for k, v in entry.get("failed", {}).items()} for entry in batch]

    def tell(
        self,
        points: Sequence[Point],
        values: Sequence[float],
        failures: Sequence[Mapping[int, str]],
    ) -> None:
        """Takes the values of the last batch of points.

        Args:
            points: The points.
            values: Their values.
            failures: For each point the messages of the runs that failed, by seed.
        """
        for entry, failed in zip(self._batches[self._asked - 1], failures, strict=False):
            entry["failed"] = {str(seed): reason for seed, reason in failed.items()}
        self._write()
        self._values += values
        told = objective(self._values)
        # The worst value, and whether all are above 0, may have changed for earlier points, too.
        self._optimizer.yi[:] = told[: -len(values)]
        with _quiet():
            self._optimizer.tell([self._raw(point) for point in points], told[-len(values) :])

    def forget(self) -> None:
        """Deletes the file."""
        self._path.unlink(missing_ok=True)

    def _new_points(self, number: int) -> list[Point]:
        """Points that were not asked for yet, chosen by the optimizer."""
        with _quiet():
            raw = [self._optimizer.ask()] if number == 1 else self._optimizer.ask(number)
        points = [self._rounded(one) for one in raw]
        if not self._asked and self._space.start is not None:
            points[0] = self._space.start
        taken = set(self._known)
        new: list[Point] = []
        for asked in points:
            point = self._random_point(taken) if self._key(asked) in taken else asked
            if point is None:
                break
            taken.add(self._key(point))
            new.append(point)
        return new

    def _random_point(self, taken: set[str]) -> Point | None:
        """A random point that is not among those taken; ``None`` where none was found."""
        space = self._optimizer.space
        for raw in space.rvs(n_samples=_TRIES, random_state=self._optimizer.rng):
            point = self._rounded(raw)
            if self._key(point) not in taken:
                return point
        return None

    def _rounded(self, raw: Sequence[Any]) -> Point:
        """The point for new coordinates of scikit-optimize."""
        dimensions = self._space.dimensions
        return {one.name: one.rounded(x) for one, x in zip(dimensions, raw, strict=True)}

    def _point(self, raw: Sequence[Any]) -> Point:
        """The point that has these coordinates."""
        dimensions = self._space.dimensions
        return {one.name: one.value(x) for one, x in zip(dimensions, raw, strict=True)}

    def _raw(self, point: Point) -> list[Any]:
        return [one.raw(point[one.name]) for one in self._space.dimensions]

    def _entry(self, point: Point) -> dict[str, Any]:
        return {"strategy": self._space.strategy(point).name, "point": self._raw(point)}

    def _key(self, point: Point) -> str:
        return self._space.strategy(point).folder

    def _read(self) -> list[list[dict[str, Any]]]:
        with self._readable():
            content = json.loads(self._path.read_text(encoding="utf-8"))
            search, batches = dict(content["search"]), list(content["batches"])
        check_same(self._identity, search, self._path)
        with self._readable():
            for entry in (entry for batch in batches for entry in batch):
                self._check(self._point(entry["point"]))
        return batches

    def _check(self, point: Point) -> None:
        """Raises ValueError unless the point is in the space."""
        for one in self._space.dimensions:
            if point[one.name] not in one:
                raise ValueError(f"{one.name}={point[one.name]!r} is not in the space.")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """A context in which whatever is wrong with the file's content is a RecordError."""
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{self._path}: damaged. Delete it: the finished runs beside it are kept."
            ) from error

    def _write(self) -> None:
        write_json(self._path, {"search": self._identity, "batches": self._batches})


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """A context with a lock on a search's file, whose folder is made if there is none.

    Raises:
        BlockingIOError: If another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path.with_suffix(".lock")).acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(
            f"{path}: another process is in this search. Wait for it or stop it."
        ) from None
    with lock:
        yield


def objective(values: Sequence[float]) -> list[float]:
    """What the surrogate model sees of values, of which those that are not finite are the worst."""
    finite = [value for value in values if math.isfinite(value)]
    worst = max(finite, default=1.0)
    known = [value if math.isfinite(value) else worst for value in values]
    return [math.log(value) for value in known] if min(known) > 0 else known


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without the warnings of scikit-optimize, which are of no use to a user here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
