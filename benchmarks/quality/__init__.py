"""Pictures and their quality."""
