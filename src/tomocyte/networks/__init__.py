"""Door 3: a network is a file (or a folder) here, built by name from options that are checked first.

To add a network, write a module here with a frozen settings class, the :class:`Network` and a tuple ``ENTRIES`` of
:class:`NetworkEntry`; nothing else changes. A network of several modules is a folder whose ``__init__`` has the tuple.
Every module built here has ``divisor``, ``n_inputs`` and ``n_outputs``, and returns logits of the spatial shape it was
given. How a network is computed stands in ``engine/``.
"""

from tomocyte.networks.registry import (
    Network,
    NetworkEntry,
    NetworkSettings,
    build_network,
    count_parameters,
    find_network,
    network_entries,
)

__all__ = [
    "Network",
    "NetworkEntry",
    "NetworkSettings",
    "build_network",
    "count_parameters",
    "find_network",
    "network_entries",
]
