"""Core AI: the judges of iPhone programs side by side, and the black picture."""
