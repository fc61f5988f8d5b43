"""The bundle: its manifest, and the folder that holds every file against it."""
