"""Equal mathematics in operations that XNNPACK takes whole, in the layout that it likes: named rewrites, counted.

Left as they are, norms and nearest upsampling split a U-Net into a hundred delegates with slow portable kernels between
them.  Rewritten, each stage is one delegate, maps keep their channels last from input to output, and what is computed
twice is computed once.  Nothing here changes what is computed.  Of the large weights only those of upsamplings are made
anew.
"""

from export.rewrites.xnnpack.apply import REWRITES, Rewrite, count_rewrites, rewrite

__all__ = ["REWRITES", "Rewrite", "count_rewrites", "rewrite"]
