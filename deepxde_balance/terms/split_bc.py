"""Splits one boundary or initial condition into several over disjoint points."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import deepxde as dde
import numpy as np
from deepxde.utils import get_num_args, isclose
from scipy.stats import qmc

from .._deepxde.condition_parts import batch_size
from .term import REFERENCE, UNWEIGHTED

Predicate = Callable[..., Any]
By = Literal["axis", "face", "component"] | Mapping[str, Predicate | None]

#: A function from points of shape (N, d) to the number of the part that each point belongs to,
#: shape (N,). The number is -1 for a point that belongs to no part.
Labels = Callable[[np.ndarray], np.ndarray]


def split_bc(bc: Any, by: By) -> dict[str, Any]:
    """Splits one IC/BC into several of the same class, over disjoint points.

    With a single condition, a strategy has nothing to balance between conditions. Split the
    condition by boundary (inner-balancing, Zhou et al. 2025, sec. 3.2), and give the parts to the
    data object in place of the whole.

    Every point of the whole belongs to exactly one part. A point that several parts claim (a
    corner) goes to the first of them. The loss of a part is the mean over its own points. The two
    points of a pair of a PeriodicBC stay together: the part is that of the point for which
    `on_boundary` holds.

    Args:
        bc: A DirichletBC, NeumannBC, RobinBC, PeriodicBC, OperatorBC, IC, PointSetBC or
            PointSetOperatorBC.
        by: One of

            - ``"axis"``: opposite sides of a box together, named ``"x"``, ``"y"``, ``"z"``
              (``"x0"``, ``"x1"``, ... with more than three dimensions). For Interval, Rectangle,
              Cuboid, Hypercube and their products with a time domain.
            - ``"face"``: each side of a box by itself, named ``"x_min"``, ``"x_max"``, ...
            - ``"component"``: each output component of a PointSetBC with several components by
              itself, named ``"component0"``, ...
            - a mapping from names to predicates. A predicate takes the points, all of them as an
              array of shape (N, d) or one as an array of shape (d,), and returns whether each
              belongs to the part. A predicate of two arguments also gets whether the points are
              on the boundary, as in DeepXDE. ``None`` in place of one predicate makes a part of
              the points that no other part claims.

    Returns:
        Mapping from names to parts, in the order of the axes, faces, components or predicates.
        Sides on which the condition has no points are left out.

    Raises:
        TypeError: If `bc` can't be split (Interface2DBC pairs the points of two edges by their
            order), or `by` is of the wrong type.
        ValueError: If `by` does not fit the condition, or leaves fewer than two parts. Later, when
            DeepXDE samples the points: if a point belongs to no part.

    Example:
        >>> import deepxde as dde
        >>> import deepxde_balance as ddb
        >>> def pde(x, u):
        ...     return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        >>> geom = dde.geometry.Rectangle([0, 0], [1, 1])
        >>> bc = dde.icbc.DirichletBC(geom, lambda x: x[:, :1], lambda _, on_boundary: on_boundary)
        >>> sides = ddb.split_bc(bc, "axis")
        >>> list(sides)
        ['x', 'y']
        >>> data = dde.data.PDE(geom, pde, list(sides.values()), num_domain=100, num_boundary=40)
        >>> model = ddb.Model(data, dde.nn.FNN([2, 20, 1], "tanh", "Glorot uniform"))
        >>> groups = {name: [part] for name, part in sides.items()}
        >>> model.compile("adam", lr=1e-3, loss_weights="db-mean", loss_groups=groups, verbose=0)
        >>> model.weights
        {'pde': 1.0, 'x': 1.0, 'y': 1.0}
    """
    if isinstance(bc, dde.icbc.Interface2DBC):
        raise TypeError(
            "An Interface2DBC can't be split: it pairs the points of its two edges by their order."
        )
    on_points = isinstance(bc, (dde.icbc.PointSetBC, dde.icbc.PointSetOperatorBC))
    if not on_points and not isinstance(bc, (dde.icbc.BC, dde.icbc.IC)):
        raise TypeError(f"bc={bc!r} can't be split: it is no IC/BC object of DeepXDE.")
    if isinstance(by, Mapping):
        names, labels = _by_predicate(bc, by)
    elif by == "component":
        return _by_component(bc)
    elif by in ("axis", "face"):
        if on_points or isinstance(bc, dde.icbc.IC):
            raise ValueError(
                f"by={by!r} does not fit {type(bc).__name__}, whose points need not lie on a "
                "side of the geometry: give a mapping from names to predicates."
            )
        names, labels = _by_side(bc, by)
    else:
        raise ValueError(
            f"by={by!r} is not allowed: give 'axis', 'face', 'component' or a mapping from "
            "names to predicates."
        )
    labels = _refusing_unclaimed(labels, names)
    part = _point_set_part if on_points else _boundary_part
    parts = {name: part(bc, labels, k) for k, name in enumerate(names)}
    if on_points:
        _refuse_empty(parts)
    return parts


def _boundary_part(bc: Any, labels: Labels, k: int) -> Any:
    """A copy of `bc` that holds at the points of part `k` only."""
    part = copy.copy(bc)
    attribute = "on_initial" if isinstance(bc, dde.icbc.IC) else "on_boundary"
    holds = getattr(bc, attribute)

    def on_part(x: np.ndarray, on: np.ndarray) -> np.ndarray:
        chosen = np.asarray(holds(x, on), dtype=bool)
        chosen[chosen] = labels(x[chosen]) == k
        return chosen

    setattr(part, attribute, on_part)
    return part


def _point_set_part(bc: Any, labels: Labels, k: int) -> Any:
    """A copy of the point-set condition `bc` with the points of part `k` only."""
    chosen = np.flatnonzero(labels(bc.points) == k)
    part = copy.copy(bc)
    part.points = bc.points[chosen]
    if bc.values.ndim and len(bc.values) == len(bc.points):
        part.values = bc.values[chosen.tolist()]
    size = batch_size(bc)
    if size is not None:
        part.batch_size = max(round(size * len(chosen) / len(bc.points)), 1)
        part.batch_sampler = dde.data.BatchSampler(len(chosen), shuffle=bc.batch_sampler.shuffle)
    return part


def _refuse_empty(parts: Mapping[str, Any]) -> None:
    """Raises a ValueError for a part without points."""
    for name, part in parts.items():
        if not len(part.points):
            raise ValueError(f"The part {name!r} of the {type(part).__name__} has no points.")


def _by_component(bc: Any) -> dict[str, Any]:
    """A part for each output component of a PointSetBC."""
    components = getattr(bc, "component", None)
    if not isinstance(bc, dde.icbc.PointSetBC) or not isinstance(components, (list, tuple)):
        raise ValueError("by='component' is for a PointSetBC with a list of components.")
    if len(components) < 2:
        raise ValueError("This PointSetBC has one component: there is nothing to split.")
    if batch_size(bc) is not None:
        raise ValueError(
            "by='component' can't keep the components' batches together: leave out batch_size."
        )
    parts = {}
    for position, component in enumerate(components):
        part = copy.copy(bc)
        part.component = component
        if bc.values.ndim == 2 and bc.values.shape[1] > 1:
            part.values = bc.values[:, position : position + 1]
        parts[f"component{component}"] = part
    return parts


def _by_side(bc: Any, by: str) -> tuple[list[str], Labels]:
    """Names and labels for the sides of a box on which the condition has points."""
    geometry = getattr(bc.geom, "geometry", bc.geom)  # GeometryXTime holds the box in `geometry`
    if isinstance(geometry, dde.geometry.Interval):
        low, high = np.array([geometry.l]), np.array([geometry.r])
    elif isinstance(geometry, dde.geometry.Hypercube):  # so are Rectangle and Cuboid
        low, high = geometry.xmin, geometry.xmax
    else:
        raise ValueError(
            f"by={by!r} needs an Interval, Rectangle, Cuboid or Hypercube, but the geometry is a "
            f"{type(geometry).__name__}: give a mapping from names to predicates."
        )
    dim = len(low)
    axes = list("xyz"[:dim]) if dim <= 3 else [f"x{i}" for i in range(dim)]
    names = axes if by == "axis" else [f"{a}_{end}" for a in axes for end in ("min", "max")]

    def on_sides(x: np.ndarray) -> np.ndarray:
        """Whether each point is on each side, shape (N, number of sides)."""
        ends = isclose(x[:, :dim], low), isclose(x[:, :dim], high)
        return np.logical_or(*ends) if by == "axis" else np.stack(ends, axis=2).reshape(len(x), -1)

    points = np.concatenate(list(_points_by_face(bc, low, high)))
    present = np.flatnonzero(on_sides(points).any(axis=0))
    if len(present) < 2:
        raise ValueError(
            f"by={by!r} leaves one part ({', '.join(names[k] for k in present) or 'none'}): "
            "there is nothing to split."
        )
    return [names[k] for k in present], lambda x: _first(np.take(on_sides(x), present, axis=1))


def _points_by_face(bc: Any, low: np.ndarray, high: np.ndarray) -> Iterator[np.ndarray]:
    """For each face of a box, points of a fixed sequence on the face at which `bc` holds."""
    time = getattr(bc.geom, "timedomain", None)
    if time is not None:
        low, high = np.append(low, time.t0), np.append(high, time.t1)
    inside = low + (high - low) * qmc.Halton(len(low), scramble=False).random(1001)[1:]
    for axis in range(len(low) - (time is not None)):
        for end in (low, high):
            x = inside.astype(dde.config.real(np))
            x[:, axis] = end[axis]
            yield x[np.asarray(bc.on_boundary(x, bc.geom.on_boundary(x)), dtype=bool)]


def _by_predicate(bc: Any, by: Mapping[str, Predicate | None]) -> tuple[list[str], Labels]:
    """Names and labels for the parts that predicates claim."""
    names = list(by)
    reserved = [name for name in names if name in (REFERENCE, UNWEIGHTED)]
    if reserved:
        raise ValueError(f"by names a part {reserved[0]!r}, a reserved key of loss_groups.")
    if len(names) < 2:
        raise ValueError(f"by={by!r} names fewer than two parts: there is nothing to split.")
    if sum(predicate is None for predicate in by.values()) > 1:
        raise ValueError("by has more than one None: only one part can take the rest.")
    for name, predicate in by.items():
        if predicate is not None and not callable(predicate):
            raise TypeError(f"by[{name!r}]={predicate!r} is neither a predicate nor None.")
    geometry = getattr(bc, "geom", None)

    def labels(x: np.ndarray) -> np.ndarray:
        claims = np.stack(
            [
                np.zeros(len(x), dtype=bool) if p is None else _evaluate(p, name, x, geometry)
                for name, p in by.items()
            ],
            axis=1,
        )
        for k, predicate in enumerate(by.values()):
            if predicate is None:
                claims[:, k] = ~claims.any(axis=1)
        return _first(claims)

    return names, labels


def _evaluate(
    predicate: Predicate, name: str, x: np.ndarray, geometry: dde.geometry.Geometry | None
) -> np.ndarray:
    """Whether a predicate claims each point of `x`, shape (N,).

    It is called for each point if it can take a single point, else once for all points.
    """
    where = f"The predicate {name!r}"
    columns = [x]
    if get_num_args(predicate) == 2:
        if geometry is None:
            raise ValueError(f"{where} takes `on_boundary`, but this condition has no geometry.")
        columns.append(geometry.on_boundary(x))
    if not len(x):
        return np.zeros(0, dtype=bool)
    try:
        pointwise = np.size(predicate(*(column[0] for column in columns))) == 1
    except (IndexError, ValueError, TypeError, AttributeError):
        pointwise = False
    if pointwise:
        points = zip(*columns, strict=True)
        return np.array([bool(np.squeeze(predicate(*point))) for point in points])
    claimed = np.asarray(predicate(*columns))
    if claimed.size != len(x):
        raise ValueError(
            f"{where} gave an array of shape {claimed.shape} for {len(x)} points: it must give "
            "one truth value per point."
        )
    return claimed.reshape(len(x)).astype(bool)


def _first(claims: np.ndarray) -> np.ndarray:
    """The number of the first part that claims each point, -1 if none does.

    Args:
        claims: Whether each part claims each point, shape (N, number of parts).
    """
    return np.where(claims.any(axis=1), claims.argmax(axis=1), -1)


def _refusing_unclaimed(labels: Labels, names: Sequence[str]) -> Labels:
    """`labels`, but with a ValueError for points that belong to no part."""

    def checked(x: np.ndarray) -> np.ndarray:
        parts = labels(x)
        left = np.flatnonzero(parts < 0)
        if len(left):
            raise ValueError(
                f"{len(left)} points of the condition belong to none of the parts "
                f"{', '.join(names)}, the first at {x[left[0]].tolist()}: name the parts so that "
                "they cover all points (a part given as None takes the rest)."
            )
        return parts

    return checked
