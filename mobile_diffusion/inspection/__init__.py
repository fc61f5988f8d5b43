"""What a checkpoint is, costs and needs, found in seconds without reading its weights.

cost.py measures one run of a network, stage_cost.py the stages of a model, phones.py judges whether a phone can take
them, report.py puts it all together.  The display is cli/inspect.py.
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
