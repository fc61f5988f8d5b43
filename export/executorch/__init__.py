"""Lowering to ExecuTorch, for Android: `<stage>.pte`, and next to it the stage's signature, `<stage>.json`."""
