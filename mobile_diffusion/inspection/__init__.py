"""Reports a checkpoint's architecture, cost and memory in seconds, without reading its weights.

cost.py measures one run of a network, and stage_cost.py the stages of a model.  phones.py judges whether a phone has
enough memory for them.  report.py combines the results, and cli/inspect.py displays them.
"""

from mobile_diffusion.inspection.cost import Cost, measure
from mobile_diffusion.inspection.phones import PHONES, PhonePlatform, Verdict, judge
from mobile_diffusion.inspection.report import Component, Inspection, inspect_checkpoint
from mobile_diffusion.inspection.stage_cost import PRECISIONS, StageCost, stage_costs, stored_bytes

__all__ = [
    "PHONES",
    "PRECISIONS",
    "Component",
    "Cost",
    "Inspection",
    "PhonePlatform",
    "StageCost",
    "Verdict",
    "inspect_checkpoint",
    "judge",
    "measure",
    "stage_costs",
    "stored_bytes",
]
