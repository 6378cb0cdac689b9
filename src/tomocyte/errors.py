"""Every error tomocyte raises on purpose.

One small family: each child also inherits the builtin it refines, so ``except ValueError`` keeps working, and each
error carries a stable code such as ``E-TIFF-TRUNC``. To add an error, raise one of these with a new code; add a
class only when callers must tell it apart by type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tomocyte.names import encodable, shown_name


@dataclass(frozen=True)
class MissingFact:
    """What a file does not say and its user can.

    How it is told is the caller's: an option of most commands, a key of a recipe, an argument in Python.

    Parameters
    ----------
    name : str
        As in the settings of a run: ``axes``, ``voxel_size_um``, ``pixel_size_um``, ``time_step_s``, ``medium_ri``,
        ``quantity``, ``modality``, ``dataset``.
    values : tuple of str
        What may be given, as typed; the likeliest first.
    text : str
        In place of the values in a sentence, e.g. ``with one of: A, B``.
    is_needed : bool
        ``False``: nothing is refused without it, but some results need it.
    """

    name: str
    values: tuple[str, ...]
    text: str = ""
    is_needed: bool = True

    @property
    def option(self) -> str:
        """The option of this name.

        Examples
        --------
        >>> MissingFact("time_step_s", ("S",)).option
        '--time-step-s'
        """
        return f"--{self.name.replace('_', '-')}"


def asked_by_options(facts: Sequence[MissingFact]) -> str:
    """Sentences that ask for facts as options: first those that are needed.

    Examples
    --------
    >>> axes, size = MissingFact("axes", ("ZYX", "TYX")), MissingFact("voxel_size_um", ("Z Y X",))
    >>> asked_by_options((axes, size))
    'Give --axes ZYX, or --axes TYX, and --voxel-size-um Z Y X.'
    """
    texts = {
        fact: f"{fact.option} {fact.text}" if fact.text else ", or ".join(f"{fact.option} {one}" for one in fact.values)
        for fact in facts
    }
    needed = [text for fact, text in texts.items() if fact.is_needed]
    others = [text for fact, text in texts.items() if not fact.is_needed]
    joint = ", and " if any(", or " in text for text in needed) else " and "
    sentences = [f"Give {joint.join(needed)}."] if needed else []
    if others:
        sentences.append(f"Not in the file either, and needed for some results: {'; '.join(others)}.")
    return " ".join(sentences)


class TomocyteError(Exception):
    """What went wrong, where, and how to cure it.

    Parameters
    ----------
    code : str
        Stable identifier, ``E-…``; scripts may rely on it.
    problem : str
        What is wrong, with the offending value.
    path : path-like, optional
        The file concerned.
    cure : str, optional
        What the user can do about it, as a sentence.
    missing : sequence of MissingFact
        What to give; asked for before ``cure``, as options.
    """

    def __init__(
        self,
        code: str,
        problem: str,
        *,
        path: str | Path | None = None,
        cure: str = "",
        missing: Sequence[MissingFact] = (),
    ) -> None:
        self.code = code
        self.problem = encodable(problem)
        self.path = None if path is None else shown_name(path)
        self.missing = tuple(missing)
        self.advice = encodable(cure)
        """The cure without what is missing."""
        self.cure = encodable(" ".join(filter(None, (asked_by_options(self.missing), cure))))
        where = "" if self.path is None else f"{self.path}: "
        super().__init__(f"{code}: {where}{self.problem}" + (f" {self.cure}" if self.cure else ""))

    def asking_also(self, facts: Sequence[MissingFact], problem: str = "") -> Self:
        """The same error that asks for further facts, each once; ``problem`` is added to what is wrong."""
        names = {fact.name for fact in self.missing}
        missing = (*self.missing, *(fact for fact in facts if fact.name not in names))
        text = " ".join(filter(None, (self.problem, problem)))
        return type(self)(self.code, text, path=self.path, cure=self.advice, missing=missing)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.code, self.problem, self.path, self.advice, self.missing)


def _rebuild(
    cls: type[TomocyteError],
    code: str,
    problem: str,
    path: str | None,
    advice: str,
    missing: tuple[MissingFact, ...],
) -> TomocyteError:
    return cls(code, problem, path=path, cure=advice, missing=missing)


class InputError(TomocyteError, ValueError):
    """The content of an input file cannot be trusted or understood."""


class MetadataError(InputError):
    """The file does not say something physical that is needed, and the user did not give it."""


class ModalityError(InputError):
    """The voxel values do not fit what the modality says a voxel value means."""


class SettingsError(TomocyteError, ValueError):
    """A setting or argument is unknown or outside its bounds."""


class OutputError(TomocyteError, OSError):
    """The output folder cannot be used, is locked, full, or was changed by somebody else."""


class ResourceError(TomocyteError, MemoryError):
    """The work does not fit into the memory or time allowed."""


class WorkerError(TomocyteError, RuntimeError):
    """A worker process died or hung."""
