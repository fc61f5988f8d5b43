"""The table of SnapFusion's stages, from teacher to shipped model: its results as files, its gates, its screen."""
