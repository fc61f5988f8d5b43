"""Lowering to Core ML, for iOS, and an interpreter of the saved programs."""

OUTPUTS_KEY = "mobile_diffusion.outputs"
"""User-defined metadata of a package: a JSON object, its output's name to the stage's name for it."""
