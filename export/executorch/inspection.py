"""Counts the nodes that XNNPACK receives, by kind, while programs are lowered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNGraph

PREFIX = "XNN"


@contextmanager
def delegated_nodes() -> Iterator[list[Counter[str]]]:
    """Context manager that yields a list, to which lowering appends one counter per delegate.

    A counter maps a kind of node ("Conv2d", "StaticTranspose", ...) to how often it occurs.
    """
    counters: list[Counter[str]] = []
    upstream = xnnpack_preprocess.serialize_xnnpack_binary

    def note(graph: XNNGraph, constants: bytearray) -> bytes:
        counters.append(Counter(type(node.xnode_union).__name__.removeprefix(PREFIX) for node in graph.xnodes))
        return upstream(graph, constants)

    with patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", note):
        yield counters
