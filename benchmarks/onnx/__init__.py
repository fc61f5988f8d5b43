"""ONNX models outside of this computer's ONNX Runtime."""
