"""Lowering to Core ML, for iOS, and an interpreter of the saved programs."""

OUTPUTS_KEY = "mobile_diffusion.outputs"
"""Key in a package's user-defined metadata: a JSON object that maps its output names to the stage's output names."""
