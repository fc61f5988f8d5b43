"""What XNNPACK receives: the nodes of its graphs by kind, noted while programs are lowered."""

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
    """Within it, the list given gets a counter for each delegate: "Conv2d", "StaticTranspose", ... to how many."""
    counters: list[Counter[str]] = []
    upstream = xnnpack_preprocess.serialize_xnnpack_binary

    def note(graph: XNNGraph, constants: bytearray) -> bytes:
        counters.append(Counter(type(node.xnode_union).__name__.removeprefix(PREFIX) for node in graph.xnodes))
        return upstream(graph, constants)

    with patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", note):
        yield counters
