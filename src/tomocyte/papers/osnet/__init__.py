"""OS-Net (Lee et al. 2019): the tables, and the experiments of Figs. 3b and 4."""
