"""Rewrites of modules: the same mathematics in operations that a backend supports or runs faster."""
