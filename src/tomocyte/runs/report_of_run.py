"""The report of a run, when it is published and again later, when there are new figures.

What a reader must know before trusting the numbers is said by :func:`_limits`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.errors import SettingsError
from tomocyte.ledger import CommitRecord, Ledger
from tomocyte.ledger.result import Failure
from tomocyte.names import natural_key
from tomocyte.runs.report.sections.results import FIGURE_FOLDERS

if TYPE_CHECKING:
    import pandas as pd

REPORT = "report.html"


@dataclass(frozen=True, eq=False)
class RunContent:
    """What the report of a run is made from.

    Parameters
    ----------
    items_folder : Path
        The folder of the items.
    records : sequence of CommitRecord
        Of the items in the tables.
    failures : sequence of Failure
    objects : DataFrame
        The table of all objects.
    places : mapping of str to (str, str)
        Item -> path of its input and folder of that.
    run : mapping
        As it stands in ``run.json``.
    dictionary : sequence of mapping
        What the columns mean.
    contacts : DataFrame, optional
    """

    items_folder: Path
    records: Sequence[CommitRecord]
    failures: Sequence[Failure]
    objects: pd.DataFrame
    places: Mapping[str, tuple[str, str]]
    run: Mapping[str, Any]
    dictionary: Sequence[Mapping[str, str]]
    contacts: pd.DataFrame | None


def refresh_report(folder: Path, new: Path) -> Path | None:
    """Write the report of a finished run again, with the figures and comparisons that are there now.

    Parameters
    ----------
    folder : Path
        Of the run; locked while this runs.
    new : Path
        Folder where figures or comparisons were written.

    Returns
    -------
    Path or None
        None where the report does not show that folder, or the run was made by a version that did not note its failed
        inputs: its report stays as it is.

    Raises
    ------
    SettingsError
        ``E-RUN-FOLDER``: the folder holds no finished run.
    OutputError
        As :class:`~tomocyte.ledger.Ledger`.
    """
    if not has_place_for(folder, new):
        return None
    with Ledger(folder) as ledger:
        content = _finished_content(ledger)
        return None if content is None else ledger.publish(REPORT, partial(write_run_report, content))


def has_place_for(folder: Path, new: Path) -> bool:
    """Whether the folder holds the report of a run, and that shows what lies in another folder."""
    shown = [(folder / name).resolve() for name in FIGURE_FOLDERS]
    return new.resolve() in shown and (folder / REPORT).is_file()


def _finished_content(ledger: Ledger) -> RunContent | None:
    import pandas as pd

    folder = ledger.out
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if "failures" not in run:
            return None
        status = pd.read_csv(folder / "status.csv", keep_default_na=False, dtype=str)
        dictionary = pd.read_csv(folder / "objects.dictionary.csv", keep_default_na=False, dtype=str)
        objects = pd.read_parquet(folder / "objects.parquet")
        contacts = folder / "contacts.parquet"
        return RunContent(
            ledger.items,
            [record for record in ledger.records() if run["input_sha256"].get(record.item) == record.input_sha256],
            [Failure(**entry) for entry in run["failures"]],
            objects,
            {row["item"]: (row["path"], row["folder"]) for row in status.to_dict("records")},
            run,
            [{str(key): str(value) for key, value in row.items()} for row in dictionary.to_dict("records")],
            pd.read_parquet(contacts) if contacts.exists() else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SettingsError(
            "E-RUN-FOLDER",
            f"is not the folder of a finished run ({problem}).",
            path=folder,
            cure="Give the output folder (-o) of `tomocyte run`.",
        ) from problem


def write_run_report(content: RunContent, path: Path) -> None:
    """Write the page."""
    from tomocyte.runs.report import ReportItem, ReportRun, write_report

    failed = {failure.item: failure for failure in content.failures}
    items = [
        ReportItem(
            record.item,
            record.facts,
            (*_failure_notes(failed.pop(record.item, None)), *record.warnings),
            _pictures(content.items_folder / record.item),
            path=_shown_path(content.places, record.item),
            edits=_edits_log(content.items_folder / record.item),
            folder=content.items_folder / record.item,
        )
        for record in content.records
    ]
    items += [
        ReportItem(
            failure.item,
            error={"code": failure.code, "problem": failure.problem, "cure": failure.cure},
            path=_shown_path(content.places, failure.item),
        )
        for failure in failed.values()
    ]
    run = content.run
    settings, versions = run["settings"], run["environment"]
    about = ReportRun(
        modality=settings["modality"],
        model=_model_name(settings["model"]) if run["model"] is None else run["model"]["name"],
        started=run["started"],
        settings={**settings, "segmentation": run["engine"]},
        versions={"tomocyte": versions["tomocyte"], "python": versions["python"], **versions["libraries"]},
        limits=_limits(settings, run["model"], content.records),
    )
    ordered = sorted(items, key=lambda item: natural_key(item.name))
    write_report(path, ordered, content.objects, about, dictionary=content.dictionary, contacts=content.contacts)


def has_impossible_results(record: CommitRecord) -> bool:
    """Whether an input has results that cannot be right."""
    from tomocyte.confidence.plausibility import is_implausible

    return any(map(is_implausible, record.warnings))


def _failure_notes(failure: Failure | None) -> tuple[str, ...]:
    """What to say of an input whose earlier results are shown because new edits could not be applied."""
    return () if failure is None else (f"{failure.code}: {failure.message} Shown are the results before that.",)


def _shown_path(places: Mapping[str, tuple[str, str]], item: str) -> str:
    """Path of an input below the common folder, where it says more than its name."""
    path, folder = places.get(item, ("", "."))
    return "" if folder == "." else path


def _edits_log(folder: Path) -> tuple[dict[str, Any], ...]:
    """What was corrected by hand, one entry per edit."""
    log = folder / "edits_log.json"
    return tuple(json.loads(log.read_text(encoding="utf-8"))) if log.exists() else ()


def _pictures(folder: Path) -> tuple[tuple[str, Path], ...]:
    """Overviews and close-ups frame by frame; the page draws time courses of its own, with tracks."""
    found = sorted(folder.glob("overview_*.png")) + sorted(folder.glob("closeup_*.png"))
    found.sort(key=lambda path: natural_key(path.stem.rpartition("_")[2]))
    captions = {"overview": "", "closeup": "largest object"}
    return tuple((captions[path.stem.partition("_")[0]], path) for path in found)


def _model_name(asked: str) -> str:
    return "given masks" if asked == "masks" else "classical"


def _limits(settings: dict[str, Any], model: dict[str, Any] | None, records: Sequence[CommitRecord]) -> tuple[str, ...]:
    """What a reader must know before trusting the numbers."""
    limits = ["Objects cut by the border of the volume are marked is_cut; their volume is a lower bound."]
    n_classical = sum(record.facts.get("model") == "classical" for record in records)
    if settings["model"] == "masks":
        limits.insert(0, "Masks were given by the user; nothing was segmented.")
    elif n_classical or settings["model"] == "classical":
        some = "" if n_classical == len(records) else f" of {n_classical} of {len(records)} inputs"
        limits.insert(
            0, f"Masks{some} come from classical image processing (thresholds and watershed), not from a trained model."
        )
    if model is not None:
        simulated = ", trained on simulated data" if model["is_trained_on_simulated"] else ""
        text = (
            f"Masks of {', '.join(model['structures'])} come from the trained model {model['name']} {model['version']}"
        )
        limits.insert(0, f"{text}{simulated}; other masks from classical image processing. {model['limits']}".strip())
    if settings["is_forced"]:
        limits.insert(
            0, "The checks of modality and model were overridden with --force: units and values may be wrong."
        )
    edited = [record.facts["edits"] for record in records if "edits" in record.facts]
    if edited:
        n_edits = sum(int(str(entry["n_edits"])) for entry in edited if isinstance(entry, dict))
        limits.insert(0, f"Corrected by hand: {n_edits} edits in {len(edited)} of {len(records)} inputs.")
    n_simulated = sum(bool(record.facts.get("is_simulated")) for record in records)
    if n_simulated:
        limits.insert(0, f"Simulated data: {n_simulated} of {len(records)} inputs are simulated, not measured.")
    n_implausible = sum(map(has_impossible_results, records))
    if n_implausible:
        text = f"{n_implausible} of {len(records)} inputs have results that cannot be right (check, below)"
        limits.insert(0, f"{text}; the summary counts their objects too.")
    return tuple(limits)
