"""ScNAS, the searched network: genotype, operations, what is built of them, the search, the released network.

To add a genotype, put its YAML file into ``genotypes/``; to add an operation, write it in ``operations.py``.
"""

from tomocyte.networks.scnas.network import SEARCHED
from tomocyte.networks.scnas.published import PUBLISHED

ENTRIES = (SEARCHED, PUBLISHED)

__all__ = ["ENTRIES"]
