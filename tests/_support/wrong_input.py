"""What wrong input may lead to: an error of the package's own, or a training with finite numbers.

`--hypothesis-profile=thorough` has more cases, new ones in each run.
"""

import inspect
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

import deepxde_balance as ddb

PACKAGE = Path(ddb.__file__).parent

#: What the docstrings say is raised.
DOCUMENTED = (ValueError, TypeError, FileNotFoundError, RuntimeError)


#: Cases of a test, where the profile is not the thorough one; they are then always the same.
FEW = 60


def cases(share=1.0):
    """The settings of a test with the usual number of cases, or a multiple of it."""
    thorough = settings().max_examples > settings.get_profile("default").max_examples
    return settings(
        max_examples=max(2, int((settings().max_examples if thorough else FEW) * share)),
        derandomize=not thorough,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        phases=[Phase.explicit, Phase.generate],  # to shrink cases that train takes minutes
    )


def is_told(error):
    """Whether an error is the package's own: raised by its code, of a documented class, in words.

    That of a call with other arguments than the signature's is Python's.
    """
    frames = traceback.extract_tb(error.__traceback__)
    raised_in = Path(frames[-1].filename)
    own = PACKAGE in raised_in.parents and frames[-1].line.lstrip().startswith(
        ("raise", 'f"', '"', ")")
    )
    of_signature = ("unexpected keyword argument", "required positional argument")
    signature = isinstance(error, TypeError) and any(text in str(error) for text in of_signature)
    return isinstance(error, DOCUMENTED) and (signature or own) and len(str(error)) > 15


def outcome(call, *args, **kwargs):
    """What a call returns; ``None`` where an error of the package's own refuses the input."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if not is_told(error):
                raise
            return None


def assert_finite(model):
    """Parameters, losses and weights are finite numbers."""
    assert all(p.isfinite().all() for p in model.net.parameters())
    assert np.isfinite(np.stack(model.losshistory.loss_train)).all()
    assert np.isfinite(list(model.weights.values())).all()


class Anything:
    """An object that is nothing in particular."""


#: Numbers, and what might be taken for one.
numbers = st.one_of(
    st.sampled_from(
        [0, 1, -1, 2, 0.5, 0.1, 1e-30, 1e30, 1e308, 10**400, -0.0, float("nan"), float("inf"),
         -float("inf"), True, False, 1j, np.float64(0.5), np.float32(2), np.int64(3),
         np.array(0.5), torch.tensor(0.5), np.float16(0.1), "0.5", "inf"]
    ),
    st.floats(),
    st.integers(-3, 300),
)  # fmt: skip

#: What might be taken for the members of a group.
members = st.lists(st.sampled_from([0, 1, 2, 3, -1, "pde", "bc0", "ic1", None, 1.5]))
names = st.sampled_from(["pde", "bc0", "ic1", "ic2", "unweighted", "reference", "x", 0])

#: Values of every kind.
values = st.one_of(
    numbers,
    st.text(max_size=6),
    st.sampled_from(
        [None, (), [], {}, set(), b"x", Anything, Anything(), len, lambda: 1, lambda x: x, np.nan,
         np.array([]), np.zeros((2, 2)), np.array(["a"]), torch.zeros(0), torch.ones(4), [1, 2],
         [[1], [2, 3]], {"a": 1}, {1: 2}, {None: None}, range(3), slice(2), ..., ddb.DN, ddb.DN(),
         ddb.RBA(), ddb.EMA(0.1), ddb.Growth(), Path("nowhere"), "\0", "é" * 9, "equal", "auto",
         "keep", "sa", "rba", "mean", "nearest", "l2", "pde", "bc0"]
    ),
    st.lists(numbers, max_size=5),
    st.dictionaries(names, st.one_of(numbers, members), max_size=4),
)  # fmt: skip


def signature_of(factory: Any) -> list[str]:
    """The names of the parameters of a class or function."""
    named = inspect.signature(factory).parameters.values()
    return [p.name for p in named if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
