"""DeepXDE's own model class.

A script may set ``dde.Model = ddb.Model``. Code that needs the stock class imports it from here.
"""

from deepxde.model import Model as StockModel

__all__ = ["StockModel"]
