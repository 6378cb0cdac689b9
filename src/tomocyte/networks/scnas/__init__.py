"""ScNAS, the searched network: genotype, operations, the network built from them, and the network of the search.

To add a genotype, put its YAML file into ``genotypes/``; to add an operation, write it in ``operations.py``.
"""

from tomocyte.networks.scnas.network import ENTRIES

__all__ = ["ENTRIES"]
