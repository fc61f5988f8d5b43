"""One export: its plan, the resources it asks for, what PyTorch draws, lowering, comparing, timing, manifest, page."""
