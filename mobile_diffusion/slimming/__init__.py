"""Transformations of trained networks: prune channels, drop, remove, repeat or add blocks, and judge the result.

The recipes that use them are in recipes/ (robust, grow, evolve, decoder).
"""
