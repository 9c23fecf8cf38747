"""A strategy and its parameters in one word, for command lines and file names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from . import canonical


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """The strategy's name and its parameters from a word like ``"dn:beta=0.9,max_weight=100"``.

    Args:
        spec: A name (see :func:`canonical`), and after a colon ``parameter=value`` pairs with
            commas between them. Values are written as in JSON, numbers also as in Python
            (``.1``, ``inf``); what is neither is text.

    Raises:
        ValueError: If the name is unknown or a pair is none.
    """
    name, _, rest = spec.partition(":")
    parameters = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not (equals and key.isidentifier() and value):
            raise ValueError(
                f"{spec!r} is not allowed: write a strategy with parameters as "
                f"{canonical(name)}:parameter=value,parameter=value."
            )
        if key in parameters:
            raise ValueError(f"{spec!r} is not allowed: it has {key} twice.")
        parameters[key] = _read(value.lower() if value in ("True", "False") else value)
    return canonical(name), parameters


def normalized(spec: str) -> str:
    """The same word for every way to write the same strategy and parameters.

    A parameter that is written out stays in it, even with its default value.

    Raises:
        ValueError: As :func:`parse`.
    """
    return written(*parse(spec))


def written(name: str, parameters: Mapping[str, Any]) -> str:
    """The :func:`normalized` word for what :func:`parse` finds in it."""
    texts = {key: _text(value) for key, value in parameters.items()}
    for key, (general, names) in _NAMES.items():
        if key in texts and name in (general, *names.values()):
            name = names.get(texts[key], general)
            if texts[key] in names:
                del texts[key]
    pairs = sorted(f"{key}={text}" for key, text in texts.items())
    return f"{name}:{','.join(pairs)}" if pairs else name


def file_name(spec: str) -> str:
    """A :func:`normalized` word in letters that every file system takes."""
    return re.sub(r"[^a-z0-9._=-]+", "_", normalized(spec).lower())


#: Parameters whose values have names: that of any value, and those of some.
_NAMES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "p": ("dn", {"1": "dn-l1", "2": "dn", "inf": "dn-linf"}),
    "exact": ("ntk", {"false": "ntk", "true": "ntk-exact"}),
}


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
