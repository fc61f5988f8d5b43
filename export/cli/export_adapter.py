"""`mobile-diffusion export adapter`: one more adapter for a bundle that was exported with some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_diffusion.cli.opening import Checkpoint, Opening, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import results


def adapter(
    opening: Opening,
    bundle: Annotated[Path, typer.Option(help="Bundle that was exported with --adapter.")],
    checkpoint: Checkpoint = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the files NAME.safetensors.")] = Path("."),
) -> None:
    """Write a LoRA as a file that an app adds to a bundle which it already has.

    The LoRA must change layers that the bundle has room for, with up to its rank; the checkpoint is the one that was
    exported. `generate --adapter-file` draws with it.

    Example:

        mobile-diffusion export adapter my-model --bundle build/android --adapter wool=my-wool.safetensors
    """
    from export.bundle.adapter_files import SUFFIX, read_room, write_adapter
    from export.bundle.bundle import open_bundle
    from mobile_diffusion.checkpoint import open_source
    from mobile_diffusion.errors import ConfigError
    from mobile_diffusion.staging import staged_file

    room = read_room(open_bundle(bundle))
    if room is None:
        raise ConfigError(f"--bundle: expected a bundle with adapters, got {bundle}; export it with --adapter")
    options = opening.options()
    if not options.adapters:
        raise ConfigError("--adapter: expected NAME=FILE such as ink=ink.safetensors, got none")
    source = open_source(checkpoint_or_emoji(checkpoint), options)
    found = [read(room) for read in source.source.read_factors]
    out.mkdir(parents=True, exist_ok=True)
    for (name, _), factors in zip(options.adapters, found, strict=True):
        with staged_file(out / f"{name}{SUFFIX}") as draft:
            write_adapter(draft, room, factors)
        results().print(f"{out / name}{SUFFIX}: {factors.nbytes / 1e6:.1f} MB", soft_wrap=True)
