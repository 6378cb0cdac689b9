"""What is done: a locked output folder, staged writes, commit records, resume, verify.

An output without a commit record does not exist: it is removed and made again. Inside: ``atomic`` (writing that
survives anything), ``sealed`` (JSON that shows a flipped bit), ``lock``, ``names``, ``record``, ``folder``
(:class:`Ledger`) and ``verification``. A new promise about output folders belongs into one of them, with a test that
breaks it.
"""

from __future__ import annotations

from tomocyte.ledger.atomic import is_disk_full, output_error, sha256_file, writing
from tomocyte.ledger.folder import Ledger, is_output_folder
from tomocyte.ledger.names import item_name, item_names
from tomocyte.ledger.record import CommitRecord, OutputFile
from tomocyte.ledger.verification import Finding, VerifyReport, verify

__all__ = [
    "CommitRecord",
    "Finding",
    "Ledger",
    "OutputFile",
    "VerifyReport",
    "is_disk_full",
    "is_output_folder",
    "item_name",
    "item_names",
    "output_error",
    "sha256_file",
    "verify",
    "writing",
]
