"""Damaged and hostile inputs, by the hundred thousand."""
