"""A strategy and its parameters in one word, for command lines and file names."""

from __future__ import annotations

import json
import re
from typing import Any

from . import canonical


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """The strategy's name and its parameters from a word like ``"dn:beta=0.9,max_weight=100"``.

    Args:
        spec: A name (see :func:`canonical`), and after a colon ``parameter=value`` pairs with
            commas between them. Values are written as in JSON; what is no JSON is text.

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
        try:
            parameters[key] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            parameters[key] = value
    return canonical(name), parameters


def normalized(spec: str) -> str:
    """The same word for every way to write the same strategy and parameters.

    Raises:
        ValueError: As :func:`parse`.
    """
    name, parameters = parse(spec)
    pairs = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in parameters.items()]
    return f"{name}:{','.join(sorted(pairs))}" if pairs else name


def file_name(spec: str) -> str:
    """A :func:`normalized` word in letters that every file system takes."""
    return re.sub(r"[^a-z0-9._=-]+", "_", normalized(spec).lower())
