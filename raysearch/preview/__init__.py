"""What a training makes of its images, operation by operation, as one picture."""
