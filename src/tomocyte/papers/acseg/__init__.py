"""ACSeg (Erozan et al. 2024): two segmentations of the same cells, volume and surface to volume (Fig. 3).

To add a claim of the paper, add it to ``recipes/acseg-fig3.yaml``.
"""
