"""Strategy words: a strategy and its parameters in one text, such as ``"dn:beta=0.9"``.

This module reads and writes words. The registry knows which strategies and parameters exist.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Other names of presets: alias to name.
ALIASES: Mapping[str, str] = {"ma": "gw-mean", "lra": "gw-mean", "id": "gw-std", "dn-l2": "dn"}

#: Parameters whose value chooses a preset: the general preset, and the preset of each value.
#: ``"dn:p=1"`` is ``"dn-l1"``, for example.
_OWN_PRESETS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "p": ("dn", {"1": "dn-l1", "2": "dn", "inf": "dn-linf"}),
    "exact": ("ntk", {"false": "ntk", "true": "ntk-exact"}),
}


class Word(NamedTuple):
    """A strategy's name and its parameters."""

    name: str
    parameters: dict[str, Any]


def plain_name(name: str) -> str:
    """The name in lower case and with hyphens; an alias becomes the name that it stands for."""
    plain = name.strip().lower().replace("_", "-")
    return ALIASES.get(plain, plain)


def parse(word: str, /, **more: Any) -> Word:
    """The plain name and the parameters of a word like ``"dn:beta=0.9,p=1"``.

    Args:
        word: A name, and after a colon ``parameter=value`` pairs with commas between them. Values
            are written as in JSON; numbers may also be written as in Python (``.1``, ``inf``).
            Every other value is a text.
        **more: More parameters.

    Raises:
        ValueError: If a pair is not ``parameter=value``, or a parameter is given twice.
    """
    name, _, rest = word.partition(":")
    name = plain_name(name)
    parameters: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (equals and key.isidentifier() and value):
            raise ValueError(
                f"{word!r} is not allowed: write a strategy with parameters as "
                f"{name}:parameter=value,parameter=value."
            )
        if key in parameters:
            raise ValueError(f"{word!r} is not allowed: it has {key} twice.")
        parameters[key] = _read(value.lower() if value in ("True", "False") else value)
    for key, value in more.items():
        if key in parameters:
            raise ValueError(f"{key}={value!r} is not allowed beside {word!r}: give {key} once.")
        parameters[key] = value
    return Word(name, parameters)


def split_points(word: str) -> list[str]:
    """The parts of a word like ``"auto+rba:eta=0.001"``: a strategy and its point weighting.

    A plus sign that belongs to a number, as in ``"alpha=1e+5"`` or ``"alpha=+inf"``, separates
    nothing: a letter follows a separator, and no equals sign precedes it.
    """
    return [part.strip() for part in re.split(r"(?<!=)\+(?=\s*[A-Za-z])", word)]


def check_alone(word: str) -> None:
    """Raises a ValueError if a word names a point weighting beside its strategy."""
    strategy, *points = split_points(word)
    if points:
        raise ValueError(
            f"{word!r} is not allowed: give loss_weights={strategy!r}, "
            f"point_weights={'+'.join(points)!r}. Both in one text are for ddb.compare, and for "
            "one's own problem."
        )


def normalized(word: str) -> str:
    """The word in its one normal form.

    ``"DN:beta=.90,p=1"`` and ``"dn-l1:beta=0.9"`` both become ``"dn-l1:beta=0.9"``. A parameter
    that is written out stays in the word, even with its default value.

    Raises:
        ValueError: As :func:`parse`.
    """
    return written(*parse(word))


def written(name: str, parameters: Mapping[str, Any]) -> str:
    """The :func:`normalized` word of a plain name and parameters, the inverse of :func:`parse`."""
    texts = {key: _text(value) for key, value in parameters.items()}
    for key, (general, presets) in _OWN_PRESETS.items():
        if key in texts and name in (general, *presets.values()):
            name = presets.get(texts[key], general)
            if texts[key] in presets:
                del texts[key]
    pairs = sorted(f"{key}={text}" for key, text in texts.items())
    return f"{name}:{','.join(pairs)}" if pairs else name


def file_name(word: str) -> str:
    """The :func:`normalized` word, with only those characters that every file system allows."""
    return re.sub(r"[^a-z0-9._=-]+", "_", normalized(word).lower())


def _read(text: str) -> Any:
    for read in (json.loads, float):
        try:
            return read(text)
        except ValueError:
            pass
    return text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value)).removesuffix(".0")  # 10000, 10000.0 and 1e4 are one number
    return json.dumps(value)
