"""`mobile-diffusion onnx faults`: the first module of an ONNX model that departs from PyTorch."""

from __future__ import annotations

from export.cli.departures import Bound, Exported, Modules, end
from export.cli.display import progress_bar
from export.cli.parameters import BundleFolder
from mobile_diffusion.cli.opening import Opening
from mobile_diffusion.cli.terminal import Json


def faults(
    bundle: BundleFolder,
    opening: Opening,
    checkpoint: Exported = None,
    bound: Bound = 80.0,
    modules: Modules = False,
    json: Json = False,
) -> None:
    """Name the first module of each ONNX model whose output departs from PyTorch's module of that name.

    ONNX Runtime runs the models on the bundle's first golden case and returns the values inside. The bound is for
    float32; give a lower one for weights in half precision or int8. The exit status is 2 if a module departs.

    Example:

        mobile-diffusion onnx faults build/android
    """
    from export.studies.departures import find_departures
    from export.studies.onnx_faults import inside
    from mobile_diffusion.checkpoint import open_checkpoint
    from mobile_diffusion.cli.opening import checkpoint_or_emoji

    with progress_bar() as progress:
        model = open_checkpoint(checkpoint_or_emoji(checkpoint), opening.options())
        found = find_departures(bundle, "onnx", model, bound, inside, progress)
    end(found, modules, json)
