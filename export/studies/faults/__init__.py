"""Where a Core ML program leaves the range or the precision of float16, found before a phone does."""
