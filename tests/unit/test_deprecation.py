"""What a user reads who calls an old name, and that the old name still works."""

import warnings

import pytest

from deepxde_balance._deprecation import deprecated_in_favour_of, renamed_argument


@deprecated_in_favour_of("twice()", removed_in="0.3")
def double(x):
    """Twice x."""
    return 2 * x


@deprecated_in_favour_of("New", removed_in="0.3")
class Old:
    def __init__(self, x):
        self.x = x


@renamed_argument("every", "update_every", removed_in="0.4")
def settings(name, *, update_every=100):
    """A name and a number."""
    return name, update_every


def the_one_warning(call):
    """What a call returns, and the one warning that it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = call()
    assert len(caught) == 1
    return result, caught[0]


def test_an_old_function_works_and_names_what_to_use_and_until_when():
    result, warning = the_one_warning(lambda: double(21))
    assert result == 42
    assert str(warning.message) == (
        "double is deprecated and goes away in deepxde-balance 0.3; use twice() instead."
    )


def test_an_old_class_works_too():
    result, warning = the_one_warning(lambda: Old(3))
    assert isinstance(result, Old) and result.x == 3
    assert "use New instead" in str(warning.message)


def test_an_old_argument_is_passed_on_under_its_new_name():
    result, warning = the_one_warning(lambda: settings("dn", every=7))
    assert result == ("dn", 7)
    assert str(warning.message) == (
        "every= of settings() is deprecated and goes away in deepxde-balance 0.4; "
        "use update_every= instead."
    )


@pytest.mark.parametrize(
    "call", [lambda: double(1), lambda: Old(1), lambda: settings("a", every=1)]
)
def test_the_warning_is_one_that_users_see_at_their_own_line(call):
    _, warning = the_one_warning(call)
    assert warning.category is FutureWarning
    assert warning.filename == __file__


def test_the_new_name_alone_is_quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert settings("dn", update_every=7) == ("dn", 7)
        assert settings("dn") == ("dn", 100)


def test_both_names_at_once_are_refused():
    with pytest.raises(
        TypeError, match=r"settings\(\) got 'update_every' and its old name 'every'"
    ):
        settings("dn", every=7, update_every=8)


def test_what_is_decorated_keeps_its_name_and_docstring():
    assert (double.__name__, double.__doc__) == ("double", "Twice x.")
    assert (settings.__name__, settings.__doc__) == ("settings", "A name and a number.")
