"""ACSeg's Table 2: what a few volumes of other cell types are worth, and whether that could have been known before."""

from tomocyte.papers.acseg.transfer.experiment import describe_transfer, transfer_experiment
from tomocyte.papers.acseg.transfer.recipe import TransferRecipe

__all__ = ["TransferRecipe", "describe_transfer", "transfer_experiment"]
