"""The same evidence on a Mac, by Core ML itself: what runs where, how fast, and how far from the golden vectors.

Unverified: written against coremltools' documented interface on Linux, where Core ML cannot run.  It is kept thin, and
what a Mac's owner sends back (`measured.json`) says of itself whether it was verified.
"""
