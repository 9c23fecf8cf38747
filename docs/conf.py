"""How the site is built: `make docs`."""

import os
import re
import sys
from pathlib import Path
from typing import Any

os.environ["DDE_BACKEND"] = "pytorch"
sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import deepxde_balance

project = "deepxde-balance"
author = "The deepxde-balance developers"
copyright = author
version = release = deepxde_balance.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml"]
html_math_renderer = "mathml"
exclude_patterns = ["build", "figures", "extensions"]
# Links into the package's own pages only, and none that leads nowhere.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!deepxde_balance).*"),  # types of other packages, and TypeVars
    (r"py:.*", r"deepxde_balance\.plots\.sources\..*"),
    (r"py:.*", r"deepxde_balance\.(?!weightings\.|problems\.|plots\.)\w+\..*"),  # not public
]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 4
nb_execution_mode = "off"
suppress_warnings = ["mystnb.unknown_mime_type"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# Long unions by their names.
autodoc_type_aliases = {
    name: name
    for name in (
        "StrategyName",
        "StatisticName",
        "AllocationName",
        "AverageName",
        "GuardName",
        "EngineName",
        "LossWeights",
        "LossGroups",
        "PointWeightsGiven",
        "Scale",
    )
}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False

html_theme = "furo"
html_title = "deepxde-balance"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False


def _plain_aliases(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: Any
) -> tuple[str | None, Any]:
    """Writes the names in `autodoc_type_aliases` as they are."""
    if signature is not None:
        signature = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", signature)
    return signature, returns


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", _plain_aliases)
