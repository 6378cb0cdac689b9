"""Many items over several processes: a crash, a hang or a bad file costs one item and never the run.

``pool`` is the parent's side, ``worker`` the child's, ``staged`` gives each item a folder of a ledger. To run elsewhere
(a cluster), add a module with a function of the signature of :func:`run_items`.
"""

from __future__ import annotations

from tomocyte.batch.pool import Outcome, n_usable_cores, run_items, sigterm_exits
from tomocyte.batch.staged import run_staged

__all__ = ["Outcome", "n_usable_cores", "run_items", "run_staged", "sigterm_exits"]
