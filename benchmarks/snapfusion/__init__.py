"""The SnapFusion table."""
