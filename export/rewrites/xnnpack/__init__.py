"""Named rewrites of modules for XNNPACK: the same mathematics in operations and a layout that XNNPACK supports.

Without them, norms and nearest upsampling split a U-Net into a hundred delegates with slow portable kernels in between.
With them, each stage is one delegate, feature maps stay channels-last from input to output, and nothing is computed
twice.  The results do not change.  All large weights are shared, except those of upsampling convolutions.
"""

from export.rewrites.xnnpack.apply import REWRITES, Rewrite, count_rewrites, rewrite

__all__ = ["REWRITES", "Rewrite", "count_rewrites", "rewrite"]
