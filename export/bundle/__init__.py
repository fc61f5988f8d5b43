"""The bundle: its manifest, and the folder whose files are checked against it."""
