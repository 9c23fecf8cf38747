"""The only code that touches the internals of DeepXDE."""
