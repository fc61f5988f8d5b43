"""The mathematics of distillation: noise levels, targets and losses, and how a student is made of a teacher.

The recipes that use it are recipes/distil.py (SnapFusion's step distillation, arXiv 2306.00980) and
recipes/consistency.py (Luo et al. 2023).
"""
