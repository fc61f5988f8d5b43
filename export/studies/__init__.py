"""What is measured to choose and to prove, and what no export needs: faults, bits, a Mac, blocks, variants, quality."""
