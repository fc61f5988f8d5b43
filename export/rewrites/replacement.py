"""How a module is rewritten: a copy that shares its weights, with some of the modules inside replaced.

Names are kept wherever the replacement keeps them (`recast`), so that an operation of the exported program can be
traced to the module of the original that it came from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def replaced(module: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """A copy of `module` in which every module that `replacement` returns a substitute for is replaced.

    It is asked for what is inside a module before it is asked for that module, and for `module` itself last.
    Parameters and buffers are not copied.
    """
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    result = copy.deepcopy(module, shared)
    for name, child in reversed(list(result.named_modules())):  # what is inside before what it is inside of
        new = replacement(child)
        if new is not None:
            parent, _, attribute = name.rpartition(".")
            if name:
                setattr(result.get_submodule(parent), attribute, new)
            else:
                result = new
    return result.eval().requires_grad_(False)


def recast(module: nn.Module, kind: type[Module]) -> Module:
    """A module with the parameters, children and attributes of `module`, and the `forward` of `kind`."""
    result = kind.__new__(kind)
    result.__dict__.update(module.__dict__)
    return result
