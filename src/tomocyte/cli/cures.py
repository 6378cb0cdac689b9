"""Cures that name what the running command has.

A room that raises an error knows the option by which ``tomocyte run`` takes a fact, not which command is running. Here,
before it is shown, each sentence of a cure is compared with the options of the command: what the command lacks and
``tomocyte convert`` has is given by way of a new file that states it; what neither has is left out.
"""

from __future__ import annotations

import re
from collections.abc import Set

from tomocyte.errors import TomocyteError

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def own_cure(cure: str, options: Set[str], convert_options: Set[str]) -> str:
    """A cure for one command.

    Parameters
    ----------
    cure : str
        Sentences; options are named as those of ``tomocyte run``.
    options, convert_options : set of str
        Those of the command, and of ``tomocyte convert``.

    Returns
    -------
    str
        Every option named belongs to the command, or to ``tomocyte convert``, which is then named.

    Examples
    --------
    >>> own_cure("Give --axes ZYX. Or use --force.", {"--axes"}, {"--axes"})
    'Give --axes ZYX.'
    >>> own_cure("Give --axes ZYX.", set(), {"--axes"})
    'Write a file that states it with `tomocyte convert IN OUT.ome.tif`, and use that: Give --axes ZYX.'
    """
    kept, by_convert = [], []
    for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z`])", cure):
        named = set(OPTION.findall(re.sub(r"`tomocyte [^`]*`", "", sentence)))
        if named <= options:
            kept.append(sentence)
        elif named <= convert_options:
            by_convert.append(sentence)
    if by_convert:
        kept.append("Write a file that states it with `tomocyte convert IN OUT.ome.tif`, and use that:")
    return " ".join(part for part in [*kept, *by_convert] if part)


def for_command(problem: TomocyteError, options: Set[str], convert_options: Set[str]) -> TomocyteError:
    """The same error with the cure of :func:`own_cure`."""
    cure = own_cure(problem.cure, options, convert_options)
    return type(problem)(problem.code, problem.problem, path=problem.path, cure=cure)
