"""Corrections in a run: read from ``edits.yaml``, checked, applied frame by frame, logged beside the results.

The effect of an edit on labels is in :mod:`tomocyte.corrections.apply`. To let an edit refer to another kind of file,
resolve it in :func:`_resolved`, so that everything after reading needs no file but the input.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.corrections.apply import EditRecord
from tomocyte.corrections.edits import LINK_EDITS, Add, Edit, EditFile, EditList, Image, Renumber, Repaint, Shape
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import read_volume
from tomocyte.labels.runs import pack_voxels
from tomocyte.names import is_hidden
from tomocyte.provenance import sha256_of_json, sha256_of_path
from tomocyte.settings import build_settings, load_settings
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd

FOLDER_SUFFIX = ".edits.yaml"
LOG_NAME = "edits_log"
COPY_NAME = "edits.yaml"
REPAIRS_NAME = "repairs.yaml"
"""What a run repaired by itself, as edits that can be continued."""
AS_SEGMENTED = "as_segmented"
"""Folder of an item with the main objects' label image before repairs."""
AS_WRITTEN = "as_written"
"""Folder of an item with a second copy of its label images, so that one corrected in place can still be compared."""


def load_edits(path: Path, items: Collection[str], *, is_empty_kept: bool = False) -> dict[str, EditList]:
    """The corrections of a run's items.

    Parameters
    ----------
    path : Path
        ``edits.yaml`` of one or several inputs, or a folder of ``<item>.edits.yaml``.
    items : collection of str
        Names of the run's items.
    is_empty_kept : bool
        Whether items are returned for which the file has an empty list.

    Returns
    -------
    dict of str to EditList
        Items without any edit are left out, unless asked for. Label images that edits refer to are replaced by their
        voxels.

    Raises
    ------
    SettingsError
        ``E-EDIT-FILE``: not readable, or a field unknown, missing or out of bounds. ``E-EDIT-ITEM``: edits of an item
        that this run does not have, or of no item in particular where there are several.
    InputError
        ``E-EDIT-IMAGE``: a label image is missing, outside the folder, of another hash, or not of whole numbers.
    """
    if path.is_dir():
        files = sorted(
            entry for entry in path.iterdir() if entry.name.endswith(FOLDER_SUFFIX) and not is_hidden(entry.name)
        )
        if not files:
            raise SettingsError("E-EDIT-FILE", f"holds no <item>{FOLDER_SUFFIX}.", path=path, cure="Check the folder.")
        edits_of: dict[str, EditList] = {}
        for file in files:
            name = file.name.removesuffix(FOLDER_SUFFIX)
            content = read_edit_file(file)
            if content.items is not None or content.item not in (None, name):
                raise SettingsError("E-EDIT-ITEM", f"holds edits of other items than {name}.", path=file)
            edits_of |= _by_item(content, [name], file)
    else:
        edits_of = _by_item(read_edit_file(path), items, path)
    unknown = sorted(set(edits_of) - set(items))
    if unknown:
        raise SettingsError(
            "E-EDIT-ITEM",
            f"corrects {', '.join(unknown)}, which this run does not have.",
            path=path,
            cure=f"Items here: {', '.join(sorted(items)[:20])}. Names are those in the column item.",
        )
    return {item: edits for item, edits in edits_of.items() if edits.edits or is_empty_kept}


def read_edit_file(path: Path) -> EditFile:
    """One file of edits, checked.

    Raises
    ------
    SettingsError
        ``E-EDIT-FILE``.
    """
    try:
        return build_settings(EditFile, load_settings(path))
    except SettingsError as problem:
        text = problem.problem
        cure = "Correct the label image instead, and let `tomocyte edits from-labels` write the file."
        raise SettingsError("E-EDIT-FILE", text, path=path, cure=cure) from problem


def _by_item(content: EditFile, items: Collection[str], path: Path) -> dict[str, EditList]:
    if content.items is not None:
        lists = dict(content.items)
    else:
        item = content.item if content.item is not None else next(iter(items)) if len(items) == 1 else None
        if item is None:
            raise SettingsError(
                "E-EDIT-ITEM",
                f"does not name which of {len(items)} inputs it corrects.",
                path=path,
                cure="Write `item: NAME`, put edits under `items:`, or give a folder of NAME.edits.yaml.",
            )
        lists = {item: EditList(input_sha256=content.input_sha256, go_by=content.go_by, edits=content.edits or ())}
    return {
        item: edits.model_copy(update={"edits": tuple(_resolved(edit, path.parent) for edit in edits.edits)})
        for item, edits in lists.items()
    }


def _resolved(edit: Edit, folder: Path) -> Edit:
    """An edit that needs no other file."""
    if not isinstance(edit, Repaint | Add) or edit.shape.image is None:
        return edit
    labels = _read_image(edit.shape.image, folder, edit.frame)
    return edit.model_copy(update={"shape": Shape(voxels=pack_voxels(labels, labels > 0))})


def _read_image(image: Image, folder: Path, frame: int) -> NDArray[Any]:
    parts = PurePosixPath(image.path.replace("\\", "/"))
    path = folder / parts
    if parts.is_absolute() or ".." in parts.parts or not path.resolve().is_relative_to(folder.resolve()):
        raise InputError("E-EDIT-IMAGE", f"{image.path!r} lies outside the folder of the edits.", path=folder)
    if not path.is_file():
        raise InputError("E-EDIT-IMAGE", "there is no such label image.", path=path, cure="Keep it beside the edits.")
    if image.sha256 is not None and sha256_of_path(path) != image.sha256:
        raise InputError("E-EDIT-IMAGE", "has changed since the edits were written (its SHA-256 differs).", path=path)
    volume = read_volume(path, is_size_required=False)
    if volume.n_frames > 1 and frame >= volume.n_frames:
        raise InputError("E-EDIT-FRAME", f"has {volume.n_frames} frames, the edit is of frame {frame}.", path=path)
    return whole_labels(volume.planes(frame if volume.n_frames > 1 else 0, 0), path)


def whole_labels(values: NDArray[Any], path: Path) -> NDArray[np.unsignedinteger[Any]]:
    """Labels as unsigned integers, whatever type they were saved in.

    Raises
    ------
    InputError
        ``E-LABELS-TYPE``: values that are not whole numbers from 0.
    """
    from tomocyte.labels.dtypes import label_dtype

    is_whole = values.dtype.kind in "uib"
    if values.dtype.kind == "f":
        is_whole = bool(np.isfinite(values).all() and (values == np.floor(values)).all())
    if not is_whole or (values.size and values.min() < 0):
        raise InputError(
            "E-LABELS-TYPE",
            "holds values that are not labels (whole numbers from 0).",
            path=path,
            cure="Save the label image itself, not a picture or a smoothed copy of it.",
        )
    largest = int(values.max(initial=0))
    return values.astype(label_dtype(largest))


def edits_sha256(edits: EditList) -> str:
    """SHA-256 of the corrections; where it changes, an item is made again."""
    return sha256_of_json(edits.model_dump(mode="json"))


def check_edits(edits: EditList, volume: Volume, *, is_tracked: bool = True) -> None:
    """Refuse edits that cannot belong to a volume, before anything is computed.

    Parameters
    ----------
    edits : EditList
    volume : Volume
    is_tracked : bool
        Whether there are tracks whose links can be corrected.

    Raises
    ------
    InputError
        ``E-EDIT-FRAME``: a frame that the input does not have. ``E-EDIT-SHAPE``: voxels of a frame of another shape.
        ``E-EDIT-LINK``: links are corrected, and nothing is tracked.
    """
    for number, edit in enumerate(edits.edits, start=1):
        name = f"edit {number} ({edit.do} {edit.structure}, frame {edit.frame})"
        if max(edit.frame, getattr(edit, "later_frame", 0)) >= volume.n_frames:
            raise InputError(
                "E-EDIT-FRAME", f"{name}: the input has {volume.n_frames} frames.", cure="Frames count from 0."
            )
        if isinstance(edit, LINK_EDITS) and not is_tracked:
            raise InputError(
                "E-EDIT-LINK",
                f"{name}: it corrects tracks, and nothing is tracked here.",
                cure="Leave out tracking=null, or the edit.",
            )
        shape = getattr(edit, "shape", None)
        voxels = shape.voxels if isinstance(shape, Shape) else getattr(edit, "pieces", None)
        if voxels is not None and voxels.shape != volume.spatial_shape:
            raise InputError(
                "E-EDIT-SHAPE",
                f"{name}: its voxels belong to a frame of {voxels.shape}, the input has {volume.spatial_shape}.",
                cure="These edits were made for another input.",
            )


def check_input(edits: EditList, input_sha256: str) -> None:
    """Refuse edits that were made for another input.

    Raises
    ------
    InputError
        ``E-EDIT-INPUT``.
    """
    if edits.input_sha256 not in (None, input_sha256):
        raise InputError(
            "E-EDIT-INPUT",
            f"its edits were made for an input with SHA-256 {edits.input_sha256}, this one has {input_sha256}.",
            cure="Make new edits, or remove input_sha256 from the file if the difference does not matter.",
        )


def edit_facts(edits: EditList, log: Sequence[EditRecord]) -> dict[str, Any]:
    """The edits of an input as they are stored in the commit record, JSON-able.

    Parameters
    ----------
    edits : EditList
    log : sequence of EditRecord
        Of those that change labels; frames and structures are theirs.
    """
    kinds = [edit.do for edit in edits.edits]
    return {
        "sha256": edits_sha256(edits),
        "n_edits": len(kinds),
        "n_by_kind": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "edited_frames": sorted({record.frame for record in log}),
        "edited_structures": sorted({record.structure for record in log}),
    }


def write_corrections(edits: EditList, log: Sequence[EditRecord], item: str, folder: Path) -> None:
    """Write what was corrected beside an item's results: ``edits_log.json``, ``edits_log.csv`` and ``edits.yaml``.

    Parameters
    ----------
    edits : EditList
    log : sequence of EditRecord
        Of all frames.
    item : str
    folder : Path
    """
    from tomocyte.tables import write_csv

    content = [asdict(record) for record in log]
    (folder / f"{LOG_NAME}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    write_csv(log_table(log), folder / f"{LOG_NAME}.csv")
    (folder / COPY_NAME).write_text(edits_as_yaml({item: edits}), encoding="utf-8")


def log_table(log: Sequence[EditRecord]) -> pd.DataFrame:
    """The log as a table, one row per edit."""
    import pandas as pd

    rows = [
        {
            "edit": record.number,
            "frame": record.frame,
            "structure": record.structure,
            "do": record.do,
            "n_voxels_changed": record.n_voxels,
            "size_changed": record.size,
            "labels_before": " ".join(str(label) for label, _ in record.old),
            "labels_after": " ".join(str(label) for label, _ in record.new),
            "n_voxels_before": " ".join(str(count) for _, count in record.old),
            "n_voxels_after": " ".join(str(count) for _, count in record.new),
            "note": record.note,
            "warnings": " | ".join(record.warnings),
        }
        for record in log
    ]
    return pd.DataFrame(rows)


def edits_as_yaml(items: Mapping[str, EditList]) -> str:
    """The text of an ``edits.yaml`` that holds these corrections: one input plainly, several by name.

    Examples
    --------
    >>> edits_as_yaml({"a": EditList(edits=())}).splitlines()
    ['version: 1', 'item: a', 'edits: []']
    """
    import yaml

    plain: dict[str, dict[str, Any]] = {}
    for item, edits in items.items():
        plain[item] = edits.model_dump(mode="json", exclude_defaults=True)
        # Defaults are left out, except the kind of the edit.
        plain[item]["edits"] = [_plain(edit) for edit in edits.edits]
    content: dict[str, Any] = {"version": 1}
    if len(plain) == 1:
        item, only = next(iter(plain.items()))
        content["item"] = item
        content |= {key: only[key] for key in ("input_sha256", "go_by", "edits") if key in only}
    else:
        content["items"] = plain
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))


def _plain(edit: Edit) -> dict[str, Any]:
    content = {"do": edit.do} | edit.model_dump(mode="json", exclude_defaults=True)
    if isinstance(edit, Renumber):
        content["numbers"] = dict(edit.numbers)  # JSON would make texts of the old labels
    return content
