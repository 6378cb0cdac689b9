"""Networks: a network is a file, built by name from options that are checked first.

To add a network, write a module here with a frozen settings class, the :class:`Network` and a tuple ``ENTRIES`` of
:class:`NetworkEntry`; nothing else changes. Every module built here has ``divisor``, ``n_inputs`` and ``n_outputs``,
and returns logits of the spatial shape it was given.
"""

from tomocyte.networks._registry import Network, NetworkEntry, NetworkSettings, build_network, network_entries

__all__ = ["Network", "NetworkEntry", "NetworkSettings", "build_network", "network_entries"]
