"""Step distillation (SnapFusion, arXiv 2306.00980): a student takes one step where its teacher takes two.

The classifier-free guidance of the teacher can be folded into the student with the same loss, and latent consistency
distillation (Luo et al. 2023) stands beside it for comparison.
"""
