"""Every error tomocyte raises on purpose.

One small family: each child also inherits the builtin it refines, so ``except ValueError`` keeps working, and each
error carries a stable code such as ``E-TIFF-TRUNC``. To add an error, raise one of these with a new code; add a
class only when callers must tell it apart by type.
"""

from __future__ import annotations

from pathlib import Path

from tomocyte.names import encodable, shown_name


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
    """

    def __init__(self, code: str, problem: str, *, path: str | Path | None = None, cure: str = "") -> None:
        self.code = code
        self.problem = encodable(problem)
        self.path = None if path is None else shown_name(path)
        self.cure = encodable(cure)
        where = "" if self.path is None else f"{self.path}: "
        super().__init__(f"{code}: {where}{self.problem}" + (f" {self.cure}" if cure else ""))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.code, self.problem, self.path, self.cure)


def _rebuild(cls: type[TomocyteError], code: str, problem: str, path: str | None, cure: str) -> TomocyteError:
    return cls(code, problem, path=path, cure=cure)


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
