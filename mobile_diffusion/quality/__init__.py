"""Metrics of drawn pictures with confidence intervals: KID, retrieval, LPIPS, PSNR and diversity.

The weights of the metric networks come with the packages of the extra `quality`.
"""

from __future__ import annotations

from mobile_diffusion.quality.bootstrap import Interval, mean_interval
from mobile_diffusion.quality.images import stack_pictures
from mobile_diffusion.quality.inception import open_inception
from mobile_diffusion.quality.kid import kid, kid_interval
from mobile_diffusion.quality.report import Networks, QualityReport, evaluate_pictures
from mobile_diffusion.quality.retrieval import RetrievalScore, open_retrieval

__all__ = [
    "Interval",
    "Networks",
    "QualityReport",
    "RetrievalScore",
    "evaluate_pictures",
    "kid",
    "kid_interval",
    "mean_interval",
    "open_inception",
    "open_retrieval",
    "stack_pictures",
]
