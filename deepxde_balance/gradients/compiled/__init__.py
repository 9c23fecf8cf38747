"""The one-pass engine's iteration, compiled."""
