"""What every training method shares: loop, processes, sharding, state, run folder, curve, data, sheets.

The methods themselves are in recipes/, one file each.
"""
