"""What draws a picture (a checkpoint or a bundle), what a drawing starts from, and the demonstration."""
