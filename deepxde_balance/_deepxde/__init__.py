"""The one place that touches DeepXDE's insides."""
