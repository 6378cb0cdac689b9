"""Samples of a training: windows of labelled images, targets, augmentation, batches."""
