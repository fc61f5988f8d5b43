"""How sizes are written for people: decimal, as shops and phones do."""

from __future__ import annotations

GB = 10**9
MB = 10**6


def readable(size: int) -> str:
    """Bytes as megabytes or gigabytes."""
    return f"{size / GB:.2f} GB" if size >= GB else f"{size / MB:.1f} MB"
