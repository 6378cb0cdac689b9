"""Cures that name what the running command has.

An error says which facts are missing (:class:`tomocyte.errors.MissingFact`); how a command is told a fact is decided
here: by its option, by a key of its recipe, or by a new file that ``tomocyte convert`` writes. Other sentences of a
cure that name an option which the command lacks are left out. To let a command take a fact, give it the option.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from tomocyte.errors import MissingFact, TomocyteError, asked_by_options

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
RECIPE_KEYS = {
    "axes": "data.stored_axes={}",
    "pixel_size_um": "data.stored_pixel_size_um=[{}]",
    "voxel_size_um": "data.stored_voxel_size_um=[{}]",
}
"""Fact -> how a recipe of labelled images states it."""
SIZES = {"voxel_size_um", "pixel_size_um"}
"""What ``tomocyte convert`` needs of every file."""


def for_command(
    problem: TomocyteError, options: Set[str], convert_options: Set[str], keys: Mapping[str, str] | None = None
) -> TomocyteError:
    """The same error with a cure that the command has.

    Parameters
    ----------
    problem : TomocyteError
    options, convert_options : set of str
        Those of the command, and of ``tomocyte convert``.
    keys : mapping, optional
        :data:`RECIPE_KEYS` for a command with a recipe.
    """
    asking = asked(problem.missing, problem.path, options, convert_options, keys or {})
    cure = " ".join(filter(None, (asking, own_sentences(problem.advice, options))))
    return type(problem)(problem.code, problem.problem, path=problem.path, cure=cure)


def asked(
    facts: Sequence[MissingFact],
    path: str | None,
    options: Set[str],
    convert_options: Set[str],
    keys: Mapping[str, str],
) -> str:
    """How a command asks for facts about a file.

    Examples
    --------
    >>> facts = (MissingFact("axes", ("ZYX", "TYX")), MissingFact("voxel_size_um", ("Z Y X",)))
    >>> asked(facts, "c 1.tif", {"--axes", "--voxel-size-um"}, set(), {})
    'Give --axes ZYX, or --axes TYX, and --voxel-size-um Z Y X.'
    >>> asked(facts, "c 1.tif", {"--set"}, set(), RECIPE_KEYS)
    "Give --set data.stored_axes=ZYX and --set 'data.stored_voxel_size_um=[Z, Y, X]'; these are keys of the recipe."
    >>> asked(facts[:1], "c 1.tif", set(), {"--axes"}, {})
    "Write a file that says it, and use it instead: `tomocyte convert 'c 1.tif' 'c 1.ome.tif' --axes ZYX` (or TYX)."
    """
    by_option = [fact for fact in facts if fact.option in options]
    by_key = [fact for fact in facts if fact not in by_option and fact.name in keys and fact.is_needed]
    others = [fact for fact in facts if fact not in by_option and fact not in by_key and fact.is_needed]
    if others:
        stated = [fact for fact in facts if fact.is_needed or fact.name in SIZES]
        return _by_convert([fact for fact in stated if fact.option in convert_options], path)
    if by_key:
        words = [f"--set {shlex.quote(_as_key(fact, keys))}" for fact in by_key]
        words += [f"{fact.option} {fact.values[0]}" for fact in by_option if fact.is_needed]
        return f"Give {' and '.join(words)}; {'these are keys' if len(by_key) > 1 else 'that is a key'} of the recipe."
    return asked_by_options(by_option)


def _as_key(fact: MissingFact, keys: Mapping[str, str]) -> str:
    return keys[fact.name].format(fact.values[0].replace(" ", ", "))


def _by_convert(facts: Sequence[MissingFact], path: str | None) -> str:
    """The command that writes a file which states what is missing."""
    source = "FILE" if path is None else path
    stem = re.sub(r"(\.ome)?\.[A-Za-z0-9]+(\.gz)?$", "", Path(source).name) or "image"
    target = f"{stem}.ome.tif"
    target = f"{stem}-2.ome.tif" if target == Path(source).name else target
    words = [word for fact in facts for word in (fact.option, fact.values[0])]
    typed = " ".join([shlex.quote(source), shlex.quote(target), *words])
    others = ", ".join(value for fact in facts if not fact.text for value in fact.values[1:])
    command = f"`tomocyte convert {typed}`{f' (or {others})' if others else ''}"
    return f"Write a file that says it, and use it instead: {command}."


def own_sentences(cure: str, options: Set[str]) -> str:
    """The sentences of a cure whose options the command has.

    Examples
    --------
    >>> own_sentences("Choose another name. Or use --force.", {"--axes"})
    'Choose another name.'
    """
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z`])", cure)
    return " ".join(text for text in sentences if set(OPTION.findall(re.sub(r"`tomocyte [^`]*`", "", text))) <= options)
