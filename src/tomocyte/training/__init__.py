"""Training: augmentation, losses, optimisation, the loop; to add a loss or a transform, see its module."""
