"""All that may happen to an office, a file for each kind of cause: what the model test does in whatever order."""
