"""Examines this computer: what an export, a phone and a training need, what is there, and how to fix what is not."""
