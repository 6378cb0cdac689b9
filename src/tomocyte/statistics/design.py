"""The design of an experiment: which input belongs to which condition and replicate, checked before any computation.

A design comes from ``conditions.csv`` (:func:`read_design`) or the levels of folders (:func:`design_from_folders`).
To add a fact about an input, add a field to :class:`Assignment`; it is then a column of the file, too.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tomocyte.errors import InputError, SettingsError
from tomocyte.names import natural_key
from tomocyte.notices import Notice
from tomocyte.tables import Column

if TYPE_CHECKING:
    import pandas as pd

LEFT_OUT = "-"
"""Condition in ``conditions.csv`` that leaves inputs out on purpose."""
NEEDED = ("path", "condition", "replicate")
FOLDER_LEVELS = ("condition", "replicate", "dish")
_SHOWN = 3
_FOLDERS = (
    "Put the files of each condition into a folder of its own, and in it those of each replicate, or write a table of "
    "conditions."
)

COLUMNS = (
    Column("condition", "", "What was done to the cells.", kind="text"),
    Column(
        "replicate", "", "Independent repetition of the experiment: a day, a donor, a passage, a mouse.", kind="text"
    ),
    Column("dish", "", "Dish or well within the replicate.", "Empty when not given.", kind="text"),
    Column("position", "", "Field of view within the dish.", "Empty when not given.", kind="text"),
    Column("day", "", "Day of the experiment.", "Empty when not given.", kind="text"),
    Column("time_zero_s", "s", "Time in the film at which the treatment began; 0 when not given."),
)
"""What a design says of an input."""


@dataclass(frozen=True)
class Assignment:
    """Where one input stands in the experiment.

    Parameters
    ----------
    item : str
        Name of the input, as in the column ``item``.
    condition, replicate : str
    dish, position, day : str
        Empty when not given.
    time_zero_s : float
        Time in the film that counts as 0, in seconds.
    """

    item: str
    condition: str
    replicate: str
    dish: str = ""
    position: str = ""
    day: str = ""
    time_zero_s: float = 0.0


@dataclass(frozen=True)
class Design:
    """Every input of an experiment with its condition and replicate.

    Parameters
    ----------
    assignments : tuple of Assignment
        In the order of the table, or of the folders; the first condition is the control of figures.
    left_out : tuple of str
        Inputs that take no part on purpose.

    Examples
    --------
    >>> design = Design((Assignment("f1", "control", "1"), Assignment("f2", "drug", "1")))
    >>> design.conditions, [notice.code for notice in design.notices()]
    (('control', 'drug'), ['W-DESIGN-ONE-REPLICATE'])
    """

    assignments: tuple[Assignment, ...]
    left_out: tuple[str, ...] = ()

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions, in the order in which they first appear."""
        return tuple(dict.fromkeys(entry.condition for entry in self.assignments))

    def replicates(self, condition: str) -> tuple[str, ...]:
        """The replicates of a condition, in natural order."""
        names = {entry.replicate for entry in self.assignments if entry.condition == condition}
        return tuple(sorted(names, key=natural_key))

    def table(self) -> pd.DataFrame:
        """One row per input: ``item`` and the columns of :data:`COLUMNS`."""
        import pandas as pd

        names = [field.name for field in dataclasses.fields(Assignment)]
        return pd.DataFrame([dataclasses.astuple(entry) for entry in self.assignments], columns=names)

    def join(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table with a column ``item``, with the columns of :data:`COLUMNS`; rows of other inputs are left out."""
        facts = self.table()
        clash = [name for name in facts.columns if name != "item" and name in table.columns]
        return table.drop(columns=clash).merge(facts, on="item", how="inner", sort=False)

    def notices(self) -> tuple[Notice, ...]:
        """What a user must know about a design before believing a comparison."""
        notices = []
        if len(self.conditions) == 1:
            notices.append(
                Notice(
                    "W-DESIGN-ONE-CONDITION",
                    f"there is only one condition, {self.conditions[0]}: nothing is compared, the data are shown.",
                )
            )
        alone = [name for name in self.conditions if len(self.replicates(name)) == 1]
        if alone:
            notices.append(
                Notice(
                    "W-DESIGN-ONE-REPLICATE",
                    f"one replicate of {', '.join(alone)}: the data are shown, without a p value, because nothing "
                    "tells how much replicates differ. Repeat the experiment, on another day or with another passage "
                    "of cells.",
                )
            )
        return tuple(notices)

    def has_common_replicates(self) -> bool:
        """Whether every condition has replicates of the same names, at least two."""
        names = [set(self.replicates(condition)) for condition in self.conditions]
        return len(names) > 1 and len(names[0]) > 1 and all(other == names[0] for other in names)


def read_design(path: Path, inputs: Mapping[str, Sequence[str]]) -> Design:
    """The design in a CSV file.

    Parameters
    ----------
    path : Path
        A table with the columns ``path``, ``condition``, ``replicate`` and, where needed, ``dish``, ``position``,
        ``day``, ``time_zero_s``. A ``path`` is the name of an input, the end of its path, a folder that holds it, or a
        pattern such as ``drug/*.tif``; the condition ``-`` leaves inputs out.
    inputs : mapping of str to sequence of str
        Name of each input -> its paths, with ``/``, as it may be called.

    Raises
    ------
    InputError
        ``E-DESIGN``: not such a table, or a value is missing. ``E-DESIGN-UNKNOWN``: a row names no input.
        ``E-DESIGN-TWICE``: two rows name the same input. ``E-DESIGN-ROW``: inputs without a row.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "conditions.csv"
    ...     _ = file.write_text("path,condition,replicate\\ncontrol/*,control,1\\ndrug/*,drug,1\\n")
    ...     design = read_design(file, {"a": ["control/a.tif"], "b": ["drug/b.tif"]})
    >>> [(entry.item, entry.condition) for entry in design.assignments]
    [('a', 'control'), ('b', 'drug')]
    """
    rows = list(_rows(path))
    owner: dict[str, int] = {}
    places: dict[str, Assignment] = {}
    left_out: list[str] = []
    for number, row in rows:
        matches = [item for item, names in inputs.items() if _is_named(row["path"], (item, *names))]
        matches.sort(key=natural_key)
        if not matches:
            raise InputError(
                "E-DESIGN-UNKNOWN",
                f"line {number} names {row['path']!r}, but no input is called so, lies in a folder of that name or "
                "fits the pattern.",
                path=path,
                cure=f"The inputs are: {_some([names[0] if names else item for item, names in inputs.items()])}. "
                "Correct the line or remove it.",
            )
        for item in matches:
            if item in owner:
                problem = f"{item} is named in line {owner[item]} and again in line {number}."
                cure = "Make the patterns narrower, so that each input stands in one line."
                raise InputError("E-DESIGN-TWICE", problem, path=path, cure=cure)
            owner[item] = number
            if row["condition"] == LEFT_OUT:
                left_out.append(item)
            else:
                places[item] = _assignment(item, row, number, path)
    missing = [item for item in inputs if item not in owner]
    if missing:
        raise InputError(
            "E-DESIGN-ROW",
            f"no line names {len(missing)} of {len(inputs)} inputs ({_some(missing)}).",
            path=path,
            cure="Add a line for them; with the condition `-` they are left out.",
        )
    return _checked(places, left_out, path)


def design_from_folders(inputs: Mapping[str, str], levels: Sequence[str] = FOLDER_LEVELS) -> Design:
    """The design that the folders of inputs spell: ``condition/replicate/dish/file``.

    Parameters
    ----------
    inputs : mapping of str to str
        Name of each input -> its path, with ``/``, from the folder that all have in common.
    levels : sequence of str
        What the folders mean, the outermost first. Folders below the last level mean nothing; where there are fewer
        folders than levels, the inner levels are not divided: with one level of folders, each condition has one
        replicate.

    Raises
    ------
    InputError
        ``E-DESIGN-FOLDERS``: an input lies in no folder, or in a different depth than the others.
    SettingsError
        ``E-DESIGN-LEVELS``: a level that is none.

    Examples
    --------
    >>> design = design_from_folders({"a": "control/day 1/a.tif", "b": "drug/day 1/b.tif"})
    >>> [(entry.condition, entry.replicate) for entry in design.assignments]
    [('control', 'day 1'), ('drug', 'day 1')]
    """
    unknown = [name for name in levels if name not in ("condition", "replicate", "dish", "position", "day", "-")]
    if unknown or "condition" not in levels or len({*levels} - {"-"}) != len([name for name in levels if name != "-"]):
        raise SettingsError(
            "E-DESIGN-LEVELS",
            f"{'/'.join(levels)!r} is no list of what folders mean.",
            cure="Write names of condition, replicate, dish, position, day with / between; - for a folder that means "
            "nothing. One of them is condition.",
        )
    folders = {item: PurePosixPath(path).parts[:-1] for item, path in inputs.items()}
    depth = min((len(parts) for parts in folders.values()), default=0)
    if depth <= levels.index("condition"):
        flat = [item for item, parts in folders.items() if len(parts) <= levels.index("condition")]
        raise InputError(
            "E-DESIGN-FOLDERS",
            f"no folder tells the condition of {_some(flat) or 'any input'}.",
            cure=_FOLDERS,
        )
    depths = {min(len(parts), len(levels)) for parts in folders.values()}
    if len(depths) > 1:
        shallow = [item for item, parts in folders.items() if len(parts) == depth]
        problem = f"{_some(shallow)} lies in fewer folders than others: it is not clear what their folders mean."
        raise InputError("E-DESIGN-FOLDERS", problem, cure=_FOLDERS)
    places = {}
    for item in sorted(folders, key=lambda name: natural_key(inputs[name])):
        parts = folders[item]
        facts = {name: part for name, part in zip(levels[:depth], parts, strict=False) if name != "-"}
        facts = {"replicate": "1", "dish": "", "position": "", "day": "", **facts}
        places[item] = Assignment(item, **facts, time_zero_s=0.0)
    return _checked(places, [], None)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number of a line and its cells, by name of the column."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        cure = "Give a CSV file in UTF-8 with the columns path, condition, replicate."
        raise InputError("E-DESIGN", f"cannot be read ({problem}).", path=path, cure=cure) from problem
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.DictReader(text.splitlines(), delimiter=separator)
    names = [(name or "").strip() for name in reader.fieldnames or []]
    allowed = [*NEEDED, *(column.name for column in COLUMNS if column.name not in NEEDED)]
    missing = [name for name in NEEDED if name not in names]
    unknown = [name for name in names if name not in allowed]
    if missing or unknown:
        wrong = f"has no column {', '.join(missing)}." if missing else f"has unknown columns: {', '.join(unknown)}."
        cure = f"The columns are {', '.join(NEEDED)} and, where needed, {', '.join(allowed[len(NEEDED) :])}."
        raise InputError("E-DESIGN", wrong, path=path, cure=cure)
    n_rows = 0
    for row in reader:
        cells = {
            (name or "").strip(): (cell or "").strip() for name, cell in row.items() if isinstance(cell, str | None)
        }
        if any(cells.values()):
            n_rows += 1
            yield reader.line_num, cells
    if not n_rows:
        raise InputError("E-DESIGN", "holds no line.", path=path, cure="Write one line per input or pattern.")


def _assignment(item: str, row: Mapping[str, str], number: int, path: Path) -> Assignment:
    if not row["condition"]:
        problem = f"line {number} names no condition."
        cure = "Write what was done to these cells, or `-` to leave them out."
        raise InputError("E-DESIGN", problem, path=path, cure=cure)
    if not row["replicate"]:
        problem = f"line {number} names no replicate."
        cure = "Number the independent repetitions of each condition; cells of one dish are the same replicate."
        raise InputError("E-DESIGN", problem, path=path, cure=cure)
    text = row.get("time_zero_s", "") or "0"
    try:
        time_zero_s = float(text)
    except ValueError:
        time_zero_s = math.nan
    if not math.isfinite(time_zero_s):
        problem = f"line {number}: time_zero_s is {text!r}."
        raise InputError("E-DESIGN", problem, path=path, cure="Give seconds, e.g. 1800.")
    facts = {name: row.get(name, "") for name in ("condition", "replicate", "dish", "position", "day")}
    return Assignment(item, **facts, time_zero_s=time_zero_s)


def _is_named(pattern: str, names: Sequence[str]) -> bool:
    """Whether a pattern is one of an input's names, the end of one, a folder that holds it, or fits one."""
    wanted = PurePosixPath(pattern.replace("\\", "/"))
    parts = wanted.parts
    if not parts:
        return False
    for name in names:
        path = PurePosixPath(name)
        folders = path.parts[:-1]
        is_in_folder = any(folders[start : start + len(parts)] == parts for start in range(len(folders)))
        is_longer = len(path.parts) > 1 and parts[-len(path.parts) :] == path.parts
        if is_in_folder or is_longer or path.match(str(wanted)) or path.match(f"{wanted}/*"):
            return True
    return False


def _checked(places: Mapping[str, Assignment], left_out: Sequence[str], path: Path | None) -> Design:
    if not places:
        problem = "every input is left out." if left_out else "there is no input."
        raise InputError("E-DESIGN", problem, path=path, cure="Give at least one input a condition.")
    _refuse_two_spellings([entry.condition for entry in places.values()], path)
    return Design(tuple(places.values()), tuple(sorted(left_out, key=natural_key)))


def _refuse_two_spellings(conditions: Sequence[str], path: Path | None) -> None:
    spellings: dict[str, set[str]] = {}
    for name in conditions:
        spellings.setdefault("".join(name.casefold().split()), set()).add(name)
    for names in spellings.values():
        if len(names) > 1:
            counts = Counter(conditions)
            shown = ", ".join(f"{name!r} ({counts[name]} inputs)" for name in sorted(names))
            problem = f"one condition is spelled in several ways: {shown}."
            raise InputError("E-DESIGN", problem, path=path, cure="Spell it the same everywhere.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
