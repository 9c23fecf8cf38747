"""The callbacks, which also work with a stock ``dde.Model``."""
