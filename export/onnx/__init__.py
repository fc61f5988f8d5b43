"""Lowering to ONNX, for ONNX Runtime on Android."""

OUTPUTS_KEY = "mobile_diffusion.outputs"
"""Metadata of a model: a JSON object, output name of the model to output name of the stage."""
