"""The table of SnapFusion's stages, from teacher to student: its results as files, its gates, its screen."""
