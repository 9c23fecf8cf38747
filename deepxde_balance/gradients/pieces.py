"""Cuts blocks of points into pieces of a bounded number of points."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

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
        number: The largest number of points of a piece, but for a condition that has no parts. The
            two points of a pair stay together.
    """
    of = len(block.points)
    if of == 0:  # a mean over no points, which is nan
        yield _piece(block, block.terms, slice(0), block.slices, (None,) * len(block.terms))
        return
    if block.slices is None:
        for first in range(0, of, number):
            last = min(first + number, of)
            errors = (ErrorRange(first, last, of),) * len(block.terms)
            yield _piece(block, block.terms, slice(first, last), None, errors)
        return
    together: list[list[_Chunk]] = []
    room = 0
    for chunk in _chunks(block, conditions, number):
        if not together or len(chunk.rows) > room:
            together.append([])
            room = number
        together[-1].append(chunk)
        room -= len(chunk.rows)
    # Targets are cached by arrays of points, so all pieces share the memory of one.
    rows = [chunk.rows for chunks in together for chunk in chunks]
    block = _reordered(block, np.concatenate(rows))
    first = 0
    for chunks in together:
        piece = _of_chunks(block, chunks, first)
        yield piece
        first += len(piece.points)


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


def _reordered(block: Block, order: np.ndarray) -> Block:
    """A block with its points in another order; the same if the order is that of the block."""
    if np.array_equal(order, np.arange(len(block.points))):
        return block
    where = torch.from_numpy(order)
    auxiliary = None if block.auxiliary_vars is None else block.auxiliary_vars[where]
    return replace(
        block,
        points=block.points[order],
        inputs=block.inputs[where],
        auxiliary_vars=auxiliary,
    )


def _of_chunks(block: Block, chunks: Sequence[_Chunk], first: int) -> Piece:
    """The piece of some chunks, whose points follow each other in the block from `first` on."""
    ends = np.cumsum([0] + [len(chunk.rows) for chunk in chunks]).tolist()
    return _piece(
        block,
        tuple(chunk.term for chunk in chunks),
        slice(first, first + ends[-1]),
        tuple(itertools.pairwise(ends)),
        tuple(chunk.errors for chunk in chunks),
    )


def _piece(
    block: Block,
    terms: tuple[int, ...],
    where: slice,
    slices: tuple[tuple[int, int], ...] | None,
    errors: tuple[ErrorRange | None, ...],
) -> Piece:
    """The piece at the rows `where` of a block, whose memory it shares."""
    auxiliary = None if block.auxiliary_vars is None else block.auxiliary_vars[where]
    return Piece(terms, block.points[where], block.inputs[where], auxiliary, slices, errors)
