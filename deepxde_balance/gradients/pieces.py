"""Cuts blocks of points into pieces of a bounded number of points."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._deepxde.condition_parts import number_of_errors, rows_of_errors
from .one_pass import Block


class ErrorRange(NamedTuple):
    """Some of a term's errors.

    Args:
        first: The first of them.
        last: The last + 1.
        of: The number of all errors of the term.
    """

    first: int
    last: int
    of: int


@dataclass(frozen=True)
class Piece(Block):
    """A part of a block.

    Args:
        errors: Which errors of each term belong to the piece; ``None`` for a condition that is
            evaluated as a whole, and whose number of errors is not known.
    """

    errors: tuple[ErrorRange | None, ...]


class _Chunk(NamedTuple):
    """A part of a term: the term, the rows of its points in the block, and its errors."""

    term: int
    rows: np.ndarray
    errors: ErrorRange | None


def cut(block: Block, conditions: Sequence[Any], number: int) -> Iterator[Piece]:
    """Cuts a block into pieces.

    Args:
        block: The block.
        conditions: The condition of each of its terms, ``None`` for residuals.
        number: The largest number of points of a piece, but for a condition that has no parts.
    """
    of = len(block.points)
    if of == 0:  # a mean over no points, which is nan
        yield _piece(block, block.terms, np.arange(0), block.slices, (None,) * len(block.terms))
        return
    if block.slices is None:
        for first in range(0, of, number):
            last = min(first + number, of)
            errors = (ErrorRange(first, last, of),) * len(block.terms)
            yield _piece(block, block.terms, np.arange(first, last), None, errors)
        return
    chunks: list[_Chunk] = []
    room = number
    for chunk in _chunks(block, conditions, number):
        if chunks and len(chunk.rows) > room:
            yield _of_chunks(block, chunks)
            chunks, room = [], number
        chunks.append(chunk)
        room -= len(chunk.rows)
    yield _of_chunks(block, chunks)


def packed(pieces: Iterable[Piece], number: int) -> list[list[Piece]]:
    """Puts pieces together as long as they have no more points than `number`."""
    passes: list[list[Piece]] = []
    room = 0
    for piece in pieces:
        if not passes or len(piece.points) > room:
            passes.append([])
            room = number
        passes[-1].append(piece)
        room -= len(piece.points)
    return passes


def _chunks(block: Block, conditions: Sequence[Any], number: int) -> Iterator[_Chunk]:
    """The parts of a block's conditions, of at most `number` points each."""
    assert block.slices is not None
    for term, condition, (beg, end) in zip(block.terms, conditions, block.slices, strict=True):
        of = number_of_errors(condition, end - beg)
        if not of:
            yield _Chunk(term, np.arange(beg, end), None)
            continue
        at_once = max(1, number * of // (end - beg))
        for first in range(0, of, at_once):
            last = min(first + at_once, of)
            rows = np.arange(beg, end)[rows_of_errors(condition, first, last, end - beg)]
            yield _Chunk(term, rows, ErrorRange(first, last, of))


def _of_chunks(block: Block, chunks: Sequence[_Chunk]) -> Piece:
    ends = np.cumsum([0] + [len(chunk.rows) for chunk in chunks]).tolist()
    return _piece(
        block,
        tuple(chunk.term for chunk in chunks),
        np.concatenate([chunk.rows for chunk in chunks]),
        tuple(itertools.pairwise(ends)),
        tuple(chunk.errors for chunk in chunks),
    )


def _piece(
    block: Block,
    terms: tuple[int, ...],
    rows: np.ndarray,
    slices: tuple[tuple[int, int], ...] | None,
    errors: tuple[ErrorRange | None, ...],
) -> Piece:
    where: Any = rows
    first = int(rows[0]) if len(rows) else 0
    if np.array_equal(rows, np.arange(first, first + len(rows))):
        where = slice(first, first + len(rows))  # shares the block's memory
    points = block.points[where]

    def of(tensor: Tensor) -> Tensor:
        return tensor[where if isinstance(where, slice) else torch.from_numpy(where)]

    auxiliary = None if block.auxiliary_vars is None else of(block.auxiliary_vars)
    return Piece(terms, points, of(block.inputs), auxiliary, slices, errors)
