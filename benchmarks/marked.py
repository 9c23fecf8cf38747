"""Tables in Markdown files, between two marks, which a command makes anew from the records."""

from __future__ import annotations

from pathlib import Path


def replaced(text: str, mark: str, new: str) -> str:
    """The text with what stands between ``<!-- mark -->`` and ``<!-- end of mark -->`` replaced.

    Raises:
        ValueError: If a mark is missing or there more than once.
    """
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->\n"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"mark={mark!r} is not there once with its end: {begin!r}, {end!r}.")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return before + begin + new.strip("\n") + "\n" + end + after


def write(path: Path, **new: str) -> None:
    """Replaces what stands between marks in a file; a mark's name has ``_`` for a space."""
    text = path.read_text(encoding="utf-8")
    for name, between in new.items():
        text = replaced(text, name.replace("_", " "), between)
    path.write_text(text, encoding="utf-8")
