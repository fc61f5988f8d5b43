"""The layouts in which checkpoints come: each reader says where our tensors lie on disk, and reads none."""
