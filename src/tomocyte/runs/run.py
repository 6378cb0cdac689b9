"""Many inputs: find them, skip what is done, let workers do the rest, commit, and publish tables and report.

What the whole run leaves is written by :mod:`tomocyte.runs.publish`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.datasets.inputs import find_inputs
from tomocyte.errors import InputError, OutputError, TomocyteError
from tomocyte.formats import parts_beside
from tomocyte.ledger import CommitRecord, Ledger, item_names, known_items, place_of
from tomocyte.ledger.result import Failure, RunResult
from tomocyte.modalities import modality
from tomocyte.names import encodable, natural_key, shown_name
from tomocyte.pipeline.settings import RunSettings
from tomocyte.progress import Callback, Progress, silent
from tomocyte.provenance import code_version, now_utc, sha256_of_json, sha256_of_path
from tomocyte.runs.kept import (
    CHANGED,
    GivenEdits,
    changed_error,
    check_kept_input,
    earlier_edits,
    is_edited_in_place,
    is_in_edits,
)
from tomocyte.runs.publish import Key, corrected_request, masked_request, publish, shown_items

if TYPE_CHECKING:
    from tomocyte.batch import Outcome
    from tomocyte.corrections.edits import EditList

__all__ = ["Failure", "RunResult", "find_inputs", "run_inputs"]


def run_inputs(
    paths: list[Path],
    settings: RunSettings,
    output: Path,
    *,
    n_workers: int = 1,
    item_timeout_s: float | None = None,
    is_trusting_times: bool = False,
    is_discarding_changes: bool = False,
    masks: Mapping[Path, Mapping[str, Path]] | None = None,
    callback: Callback = silent,
) -> RunResult:
    """Do every input that is not done yet, then publish tables and report.

    Parameters
    ----------
    paths : list of Path
    settings : RunSettings
    output : Path
        Made if missing; locked while this runs.
    n_workers : int
        Inputs at the same time, each in its own process.
    item_timeout_s : float, optional
    is_trusting_times : bool
        Whether a finished input whose size and modification time are as they were counts as unchanged; otherwise its
        content is hashed again.
    is_discarding_changes : bool
        Whether results that were changed by hand since they were written are replaced, and edits of earlier runs that
        are not given again are left out. Otherwise changed results stop their item, and earlier edits are kept.
    masks : mapping of Path to mapping, optional
        Input -> structure -> file with its masks; then these are measured and nothing is segmented.
    callback : callable
        Receives :class:`~tomocyte.progress.Progress` events.

    Returns
    -------
    RunResult

    Raises
    ------
    OutputError
        The output folder is locked, foreign, read-only or full; what was committed stays.
    SettingsError, InputError
        The modality or the model is unknown, or the model's card cannot be read; ``E-EDIT-…``: the edits cannot be
        read, or name an item that is not there.

    Notes
    -----
    What users changed in the folder is never lost: see :mod:`tomocyte.runs.kept`.
    """
    from tomocyte.corrections.files import load_edits
    from tomocyte.measurements import find_measurements
    from tomocyte.models.loaded import card_sha256
    from tomocyte.pipeline.planning import (
        requested_card,
        requested_cascade,
        requested_cells_card,
        requested_refinement_card,
    )

    modality(settings.modality)
    find_measurements(settings.measurements)
    card = requested_card(settings)
    started = now_utc()
    names = dict(zip(item_names(paths, known_items(output)), paths, strict=True))
    file = None if settings.edits is None else Path(settings.edits)
    given = GivenEdits({} if file is None else load_edits(file, names, is_empty_kept=True), file, is_discarding_changes)
    # Where a model or edits lie decides nothing; what they are does, by its hash.
    named = settings.model_copy(
        update={"edits": None} | ({} if card is None or settings.model == "auto" else {"model": card.name})
    )
    cells, refinement = requested_cells_card(settings), requested_refinement_card(settings)
    further = {"cells": cells, "refinement.model": refinement}
    hashes = {name: card_sha256(other) for name, other in further.items() if other is not None}
    if refinement is not None:
        named = named.model_copy(
            update={"refinement": settings.refinement.model_copy(update={"model": refinement.name})}
        )
    cascade = requested_cascade(settings)
    if cascade is not None:
        named = named.model_copy(update={"cascade": cascade.sha256})
    request = sha256_of_json(named.model_dump(mode="json") | hashes)
    key = Key(request, None if card is None else card_sha256(card))
    result = RunResult()
    with Ledger(output, "run", settings.modality) as ledger:
        triage = _Triage(ledger, output, given, result, callback, masks or {}, settings.channel_files.values())
        todo = triage.not_done(names, key, is_trusting_times=is_trusting_times)
        if todo:
            _work(
                ledger,
                todo,
                settings.model_copy(update={"edits": None}),
                triage,
                key,
                n_workers=n_workers,
                item_timeout_s=item_timeout_s,
            )
        result.failures.sort(key=lambda failure: natural_key(failure.item))
        publish(ledger, names, settings, key, result, started)
        triage.note_kept()
    return result


class _Triage:
    """Which inputs are still to do, with which edits, and which must wait for their user.

    Parameters
    ----------
    ledger : Ledger
    output : Path
        As the user gave it.
    given : GivenEdits
    result : RunResult
        Counts and failures are written into it.
    callback : callable
    masks : mapping
        Input -> structure -> file.
    """

    def __init__(
        self,
        ledger: Ledger,
        output: Path,
        given: GivenEdits,
        result: RunResult,
        callback: Callback,
        masks: Mapping[Path, Mapping[str, Path]],
        channel_files: Collection[str] = (),
    ) -> None:
        self.masks = masks
        self.channel_files = channel_files
        self.ledger = ledger
        self.output = output
        self.given = given
        self.result = result
        self.callback = callback
        self.outdated: list[str] = []
        self.edits: dict[str, EditList] = {}
        self.kept: dict[str, EditList] = {}

    def not_done(self, names: Mapping[str, Path], key: Key, *, is_trusting_times: bool) -> dict[str, InputFiles]:
        """Inputs still to do, with the hash of their content."""
        todo: dict[str, InputFiles] = {}
        for item, path in sorted(names.items(), key=lambda entry: natural_key(entry[0])):
            try:
                record = self.ledger.record(item)
                further = tuple(path.parent / name for name in sorted(self.channel_files) if name != path.name)
                files = _input_files(path, record, is_trusting_times=is_trusting_times, further=further)
                content = files.sha256
                key.corrected[item] = self._edits_sha256(item, record, key.request_sha256, self.masks.get(path))
                if self._is_done(item, record, content, key):
                    self.result.n_done += 1
                    self.result.n_resumed += 1
                    self.callback(Progress(item=item, state="resumed"))
                else:
                    self._check_edits(item, record, content)
                    todo[item] = files
                    if record is not None and record.code_version != code_version():
                        self.outdated.append(item)
            except (OSError, TomocyteError) as problem:
                self.fail(item, path, problem)
        return todo

    def fail(self, item: str, path: Path, problem: Exception, traceback: str = "") -> None:
        """Note a failure and go on with the others."""
        self.result.failures.append(_failure(item, path, problem, traceback))
        self.callback(Progress(item=item, state="failed"))

    def _edits_sha256(
        self, item: str, record: CommitRecord | None, request: str, masks: Mapping[str, Path] | None
    ) -> str:
        """Hash of what is asked for one item: its masks, the given edits, else those it was corrected with before."""
        from tomocyte.corrections.files import edits_sha256
        from tomocyte.pipeline.masks import masks_sha256

        if masks:
            request = masked_request(request, masks_sha256(masks))
        edits = self.given.edits.get(item)
        if edits is None and record is not None and not self.given.is_discarding:
            edits = earlier_edits(self.ledger, record)
            if edits is not None:
                self.kept[item] = edits
        if edits is None or not edits.edits:
            return request
        self.edits[item] = edits
        return corrected_request(request, edits_sha256(edits))

    def _is_done(self, item: str, record: CommitRecord | None, content: str, key: Key) -> bool:
        """Whether nothing is to be done.

        Raises
        ------
        OutputError
            ``E-OUT-CHANGED``: its results were changed, and neither edits of this run nor the user say what of it.
        """
        if record is None:
            return False
        is_current_record = record.input_sha256 == content and key.holds(record)
        changes = self.ledger.changes(item)
        if changes.changed and not self.given.is_discarding:
            has_edits = bool(self.given.edits.get(item)) and item in self.edits
            if not has_edits or is_current_record or not is_edited_in_place(record, changes):
                raise changed_error(
                    self.output, record, changes, self.given.file, has_edits=has_edits and is_current_record
                )
        return is_current_record and changes.is_whole

    def _check_edits(self, item: str, record: CommitRecord | None, content: str) -> None:
        from tomocyte.corrections.files import check_input

        if item in self.kept and record is not None:
            check_kept_input(record, content)
        elif item in self.edits:
            check_input(self.edits[item], content)

    def commit(self, item: str, staged: Path, record: CommitRecord) -> None:
        """Commit new results, unless they lack something that the user changed in the old ones.

        Raises
        ------
        OutputError
            ``E-OUT-CHANGED``; the staged folder is then gone.
        """
        changes, before = self.ledger.changes(item), self.ledger.record(item)
        if changes.changed and before is not None and not self.given.is_discarding:
            edits = self.edits.get(item)
            if edits is None or not is_in_edits(self.ledger, item, changes, staged, edits):
                self.ledger.discard(staged)
                raise changed_error(self.output, before, changes, self.given.file, has_edits=edits is not None)
        self.ledger.commit(item, staged, record, is_discarding=bool(changes.changed))

    def note_kept(self) -> None:
        """Say what of the user's was kept, and what was not: results of other code."""
        if self.kept:
            n_edits = sum(len(edits.edits) for edits in self.kept.values())
            self.result.notes.append(
                f"corrections of an earlier run are kept: {n_edits} of {shown_items(self.kept)}; "
                "--discard-changes leaves them out."
            )
        if self.outdated:
            self.result.notes.append(
                f"made again, since another version of tomocyte made the earlier results: {shown_items(self.outdated)}."
            )
        for name, kept in self.ledger.kept:
            self.result.notes.append(f"{name} was changed or added by somebody; that file is now {kept}.")


@dataclass(frozen=True)
class InputFiles:
    """An input: its path, the other files that hold voxels of it, and the hash of all their content."""

    path: Path
    beside: tuple[Path, ...]
    sha256: str

    def stamp(self) -> dict[str, float]:
        """Size and time of plain files, for those who choose not to hash a finished 31 GB input again."""
        return _stamp(self.path, self.beside)

    def parts(self) -> tuple[str, ...]:
        """Names of the other files, relative to the input's folder."""
        return tuple(part.relative_to(self.path.parent).as_posix() for part in self.beside)


def _stamp(path: Path, beside: Sequence[Path]) -> dict[str, float]:
    if not path.is_file():
        return {}
    each = [file.stat() for file in (path, *beside)]
    newest = max(status.st_mtime_ns for status in each)
    return {"input_bytes": float(sum(status.st_size for status in each)), "input_mtime_s": newest / 1e9}


def _input_files(
    path: Path, record: CommitRecord | None, *, is_trusting_times: bool, further: tuple[Path, ...] = ()
) -> InputFiles:
    """The files of an input: those of its record as long as they are the same, else those that it names now."""
    if not path.exists():
        raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    if record is not None:
        beside = tuple(path.parent / name for name in record.source_parts)
        if all(part.is_file() for part in beside):
            stamp = _stamp(path, beside)
            is_trusted = is_trusting_times and bool(stamp)
            if is_trusted and all(record.timings.get(name) == value for name, value in stamp.items()):
                return InputFiles(path, beside, record.input_sha256)
            content = sha256_of_path(path, beside=beside)
            if content == record.input_sha256:
                return InputFiles(path, beside, content)
    beside = further or parts_beside(path)
    return InputFiles(path, beside, sha256_of_path(path, beside=beside))


def _work(
    ledger: Ledger,
    todo: Mapping[str, InputFiles],
    settings: RunSettings,
    triage: _Triage,
    key: Key,
    *,
    n_workers: int,
    item_timeout_s: float | None,
) -> None:
    """Run the workers and commit what comes back, in the order it comes."""
    from tomocyte.batch import run_staged
    from tomocyte.pipeline import process_item

    stamps = {item: files.stamp() for item, files in todo.items()}
    content, masks = settings.model_dump(mode="json"), triage.masks
    tasks = (
        {"item": item, "path": str(files.path), "settings": content}
        | ({"edits": triage.edits[item].model_dump(mode="json")} if item in triage.edits else {})
        | ({"masks": {name: str(file) for name, file in masks[files.path].items()}} if files.path in masks else {})
        for item, files in todo.items()
    )
    for item, staged, outcome in run_staged(
        ledger, tasks, process_item, n_workers=n_workers, item_timeout_s=item_timeout_s, callback=triage.callback
    ):
        files = todo[item]
        if outcome.error is not None:
            triage.fail(item, files.path, outcome.error, outcome.traceback)
            continue
        record = _record(outcome, files, key.request_of(item), stamps[item])
        try:
            triage.commit(item, staged, record)
        except OutputError as problem:
            if problem.code != CHANGED:
                raise
            triage.fail(item, files.path, problem)
        else:
            triage.result.n_done += 1
            triage.callback(Progress(item=item, state="done"))


def _record(outcome: Outcome[dict[str, Any]], files: InputFiles, request: str, stamp: dict[str, float]) -> CommitRecord:
    done = outcome.result
    return CommitRecord(
        item=outcome.task["item"],
        source=files.path.name,
        input_sha256=files.sha256,
        source_parts=files.parts(),
        request_sha256=request,
        # What the worker used or left out, should the model have been replaced meanwhile.
        model_sha256=done["facts"].get("trained_model", {}).get("card_sha256") or done["facts"].get("left_out_model"),
        code_version=code_version(),
        n_rows=done["n_rows"],
        warnings=tuple(done["warnings"]),
        facts=done["facts"],
        place=place_of(files.path),
        timings={"seconds": done["seconds"], "peak_memory_bytes": done["peak_memory_bytes"], **stamp},
    )


def _failure(item: str, path: Path, problem: Exception, traceback: str = "") -> Failure:
    if isinstance(problem, TomocyteError):
        # Of the input itself people know which file it is; a mask, or a file beside, is named.
        is_other = isinstance(problem, InputError) and problem.path not in (None, shown_name(path))
        text = f"{problem.path}: {problem.problem}" if is_other else problem.problem
        return Failure(item, shown_name(path.name), problem.code, text, problem.cure, encodable(traceback))
    text = encodable(f"cannot be read: {problem}.")
    return Failure(item, shown_name(path.name), "E-INPUT-IO", text, "Check the file.", encodable(traceback))
