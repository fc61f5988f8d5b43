"""Lowering to ONNX, for ONNX Runtime on Android."""

OUTPUTS_KEY = "mobile_diffusion.outputs"
"""Metadata key of a model: a JSON object that maps the model's output names to the stage's output names."""
