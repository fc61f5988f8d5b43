"""Core ML: packages, compression, faults of 16 bits."""
