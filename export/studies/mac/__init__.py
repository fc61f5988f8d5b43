"""Measurements on a Mac by Core ML itself: what runs where, how fast, and how far from the golden vectors.

UNVERIFIED: written on Linux, where Core ML cannot run, from coremltools' documentation.  It is kept thin, and the file
that a Mac's owner sends back (`measured.json`) says whether it was verified.
"""
