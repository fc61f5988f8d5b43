"""Compares two bundles, or a bundle with a baseline that an earlier one left."""
