"""ACSeg (Erozan et al. 2024): cytoplasm in soft X-ray tomograms, all its tables and figures.

``fields`` simulates and segments tomograms for Fig. 3 to 6. To add a claim of the paper, add it to its recipe
``recipes/acseg-….yaml``.
"""
