"""Compresses the weights of Core AI programs by the recipes of export/compression, and checks the saved asset."""

from export.coreai.compress.verify import verify_asset
from export.coreai.compress.weights import ProgramWeight, weights_of
from export.coreai.compress.write import Promise, compress_program

__all__ = ["ProgramWeight", "Promise", "compress_program", "verify_asset", "weights_of"]
