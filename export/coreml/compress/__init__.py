"""Compresses the weights of packages by the recipes of export/compression, and checks the written file."""

from export.coreml.compress.layers import WeightLayer, layers_of
from export.coreml.compress.verify import Reconstruction
from export.coreml.compress.write import compress_package

__all__ = ["Reconstruction", "WeightLayer", "compress_package", "layers_of"]
