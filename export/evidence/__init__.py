"""Checks that a bundle's own files agree with each other, with what its programs contain, and with its checkpoint.

Nothing is believed because the bundle says it: each module here derives one thing anew and returns every `Difference`.
"""
