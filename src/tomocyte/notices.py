"""Notices: what a user must know about a result, each with a stable code.

A notice is no error: the result stands. To add one, make it where it arises; its code starts with ``W-``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """One thing that a user must know.

    Parameters
    ----------
    code : str
        Stable, e.g. ``W-NO-MEDIUM``.
    text : str
        In plain English, with the cure where there is one.

    Examples
    --------
    >>> str(Notice("W-FLAT", "frame 0 is constant."))
    'W-FLAT: frame 0 is constant.'
    """

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"

    @classmethod
    def parse(cls, line: str) -> Notice:
        """The notice of a line ``CODE: text``, as :attr:`tomocyte.volume.Volume.notes` and commit records hold it.

        Examples
        --------
        >>> Notice.parse("W-NAN: 3 voxels.").code
        'W-NAN'
        """
        code, _, text = line.partition(": ")
        return cls(code, text)


def unique(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Each notice once, where it came first.

    Examples
    --------
    >>> one, other = Notice("W-A", "x"), Notice("W-B", "y")
    >>> unique([one, other, one]) == (one, other)
    True
    """
    return tuple(dict.fromkeys(notices))
