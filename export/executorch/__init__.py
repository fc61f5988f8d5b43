"""Lowering to ExecuTorch, for Android: `<stage>.pte`, and beside it the stage's signature, `<stage>.json`."""
