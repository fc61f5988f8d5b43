"""Rewrites a module: makes a copy that shares its weights and replaces some of the modules inside.

`recast` keeps the names of modules, so that each operation of the exported program can be traced to a module of the
original.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def replaced(module: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """Return a copy of `module` with every module replaced for which `replacement` returns a substitute.

    `replacement` is called for the children of a module before the module itself, and for `module` last.
    Parameters and buffers are shared.
    """
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    result = copy.deepcopy(module, shared)
    for name, child in reversed(list(result.named_modules())):  # children before their parents
        new = replacement(child)
        if new is not None:
            parent, _, attribute = name.rpartition(".")
            if name:
                setattr(result.get_submodule(parent), attribute, new)
            else:
                result = new
    return result.eval().requires_grad_(False)


def recast(module: nn.Module, kind: type[Module]) -> Module:
    """Return a module with the parameters, children and attributes of `module`, and with the `forward` of `kind`."""
    result = kind.__new__(kind)
    result.__dict__.update(module.__dict__)
    return result
