"""Where the cell-by-cell network looks: the published frame, and windows around nuclei."""

from __future__ import annotations

PUBLISHED_PLANES = 128
"""Planes that a field is resized to before the middle ones are kept."""
PUBLISHED_SHAPE = (64, 128, 128)
"""What the published network sees of a field."""
