"""A picture of the training images after each augmentation operation."""
