"""Slimming of trained networks: fewer channels or fewer blocks, with the weights that matter most to begin with."""
