"""Scripts that measure the figures of the documents; each is run as `python -m benchmarks.FOLDER.NAME`."""
