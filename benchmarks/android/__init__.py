"""Android: speed, delegation, precisions, quality and memory."""
