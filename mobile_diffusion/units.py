"""Sizes for people, in decimal units, as on phones."""

from __future__ import annotations

GB = 10**9
MB = 10**6


def readable(size: int) -> str:
    """Format a number of bytes in megabytes or gigabytes."""
    return f"{size / GB:.2f} GB" if size >= GB else f"{size / MB:.1f} MB"
