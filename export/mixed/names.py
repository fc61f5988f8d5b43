"""How modules that stay in float32 are named: on the command line, in manifests, and by the choice itself.

A name is the path of a PyTorch module inside a stage, such as `unet.mid_block` or `autoencoder.decoder`, and means the
module with everything inside it.  With `:own` it means only the operations that the module does itself: an attention's
scores, a block's residual sum.  The name of a stage, such as `decode_image`, is that of its outermost module.  `*`
stands for any part of a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

AUTO, NONE, CHECKPOINT = "auto", "none", "checkpoint"
"""Choices instead of names: what is measured; no module; what the checkpoint's configuration asks for."""
SETTING = "mixed_precision"
"""Name of the setting in a manifest that lists the modules."""
OWN = ":own"
"""Ending of a name that leaves out the modules inside."""
SEPARATOR = ","
SHOWN = 3
"""Names that a message repeats."""

Names = tuple[str, ...]


def parse(text: str) -> Names:
    """Return the names in a list such as "unet.conv_in,unet.*.attn1:own"; raises `ConfigError` for an empty name."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(SEPARATOR)))
    if "" in names or any(name.removesuffix(OWN) == "" for name in names):
        raise ConfigError(f"mixed_precision: expected names of modules with commas in between, got {quoted(text)}")
    return names


def names_of(choice: str) -> Names:
    """Return the names that a lowering takes; none for NONE and CHECKPOINT.

    Raises `ConfigError` for AUTO: what is measured must be known first (export/job/mixed.py).
    """
    if choice == AUTO:
        raise ConfigError(f"mixed_precision: expected names of modules to lower with, got {AUTO}; use export_target")
    return () if choice in (NONE, CHECKPOINT) else parse(choice)


def setting_of(choice: str) -> Mapping[str, str]:
    """Return the setting for a manifest: the names, nothing if there are none."""
    return {} if choice in (AUTO, NONE, CHECKPOINT) else {SETTING: choice}


def spelled(names: Sequence[str]) -> str:
    """Return the names as `parse` reads them."""
    return SEPARATOR.join(names)


def covers(names: Iterable[str], stage: str, module: str) -> bool:
    """Return whether one of the names means the own operations of a module; "" is the outermost module of the stage."""
    own, inside = module or stage, (stage, *enclosing(module))
    return any(
        fnmatchcase(own, name.removesuffix(OWN))
        if name.endswith(OWN)
        else any(fnmatchcase(path, name) for path in inside)
        for name in names
    )


def enclosing(module: str) -> Iterator[str]:
    """Yield a module and the modules that contain it, without the outermost: "a.b" yields "a.b" and "a"."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def shortest(chosen: Iterable[str], modules: Iterable[str], stage: str) -> Names:
    """Return names that cover exactly the own operations of `chosen`, which are among the `modules` of a stage.

    A module of which everything is chosen gets one name.
    """
    found, everything = set(chosen), set(modules)

    def below(path: str) -> set[str]:
        return {each for each in everything if not path or each == path or each.startswith(f"{path}.")}

    def named(path: str) -> Iterator[str]:
        members = below(path)
        if members <= found:
            yield path or stage
            return
        if path in found:
            yield (path or stage) + OWN
        prefix = f"{path}." if path else ""
        children = dict.fromkeys(prefix + each.removeprefix(prefix).split(".")[0] for each in sorted(members - {path}))
        for child in children:
            if below(child) & found:
                yield from named(child)

    return tuple(named("")) if found else ()


def check(names: Sequence[str], stages: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Raise `ConfigError` for a name that means no module of any stage; `stages` are names with their modules."""
    known = [(stage, tuple(modules)) for stage, modules in stages]
    for name in names:
        if not any(covers([name], stage, module) for stage, modules in known for module in ("", *modules)):
            some = [module for _, modules in known for module in modules if module.count(".") == 1][:SHOWN]
            expected = f"the name of a stage or module, such as {', '.join(some)}"
            raise ConfigError(f"mixed_precision: expected {expected}, got {quoted(name)}")
