"""Lowering to ExecuTorch, for Android."""

PROGRAM = "model.pte"
"""The file that holds the three stages."""
SIGNATURE = "model.json"
"""Beside it: names, dtypes and shapes of inputs and outputs, and how much of each stage is delegated."""
