"""Apple's runtimes as delegates of ExecuTorch: a `.pte` whose whole stage is one program for Core ML or Core AI."""
