"""Which modules stay in float32 when the rest of a network is float16: measured with PyTorch, for every backend."""
