"""Stock DeepXDE's model, whatever a script has put in its place.

A script may say ``dde.Model = ddb.Model`` at its top: what means the stock class must not look it
up there.
"""

from deepxde.model import Model as StockModel

__all__ = ["StockModel"]
