"""Labelled images on disk: which files belong together, what they hold, how they are read."""
