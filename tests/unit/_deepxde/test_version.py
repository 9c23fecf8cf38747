import warnings

import pytest

from deepxde_balance._deepxde.version import warn_if_untested


@pytest.mark.parametrize("version", ["1.14.0", "1.15.0", "1.15.3.dev1+g0123abc"])
def test_a_tested_release_is_taken_silently(version):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_untested(version)


@pytest.mark.parametrize("version", ["1.13.2", "1.16.0", "2.0.0", "unknown"])
def test_another_is_named_with_a_way_out(version):
    with pytest.warns(UserWarning, match=r"tested with DeepXDE 1.14 to 1.15") as told:
        warn_if_untested(version)
    assert version in str(told[0].message)
    assert "deepxde==1.15.*" in str(told[0].message)
