"""What is done: a locked output folder, staged writes, commit records, resume, verify, and nothing of a user's lost.

An output without a commit record does not exist: it is made again. Inside: ``atomic`` (writing that survives anything),
``sealed`` (JSON that shows a flipped bit), ``lock``, ``names``, ``record``, ``folder`` (:class:`Ledger`), ``published``
(tables and reports), ``keeping`` (what a user changed or added), ``kinds`` (which command a folder belongs to) and
``verification``. A new promise about output folders belongs into one of them, with a test that breaks it.
"""

from __future__ import annotations

from tomocyte.ledger.atomic import is_disk_full, output_error, sha256_file, writing
from tomocyte.ledger.folder import Ledger
from tomocyte.ledger.kinds import claim_folder, is_output_folder, kind_of, refuse_other_kind
from tomocyte.ledger.names import item_name, item_names, place_of, portable_paths
from tomocyte.ledger.published import PublishedFiles
from tomocyte.ledger.record import CommitRecord, OutputFile, known_items
from tomocyte.ledger.verification import Finding, VerifyReport, verify

__all__ = [
    "CommitRecord",
    "Finding",
    "Ledger",
    "OutputFile",
    "PublishedFiles",
    "VerifyReport",
    "claim_folder",
    "is_disk_full",
    "is_output_folder",
    "item_name",
    "item_names",
    "kind_of",
    "known_items",
    "output_error",
    "place_of",
    "portable_paths",
    "refuse_other_kind",
    "sha256_file",
    "verify",
    "writing",
]
