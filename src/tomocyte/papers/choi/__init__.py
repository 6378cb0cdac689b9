"""Choi et al. 2021: organelles of refractive-index tomograms, Fig. 2c and the multi-task comparison."""
