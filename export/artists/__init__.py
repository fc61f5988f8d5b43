"""What draws a picture, a checkpoint or a bundle, and what a drawing begins with."""
