"""Which masks belong to which image, and the settings to measure them with; serves ``tomocyte measure``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tomocyte.datasets.files import stem_of
from tomocyte.datasets.inputs import find_inputs, modality_of_files
from tomocyte.datasets.labelled import LABEL_ENDINGS
from tomocyte.errors import InputError, SettingsError
from tomocyte.formats import ReadOptions
from tomocyte.modalities import modality
from tomocyte.names import shown_name
from tomocyte.pipeline.settings import RunSettings
from tomocyte.settings import build_settings, with_overrides
from tomocyte.structures import CELL, canonical_name, in_drawing_order

Masks = dict[Path, dict[str, Path]]


@dataclass(frozen=True)
class GivenMasks:
    """What the user names.

    Parameters
    ----------
    files : sequence of (str, Path)
        Structure, and its file or folder.
    main : Path, optional
        File or folder of the main objects.
    structure : str, optional
        What the main objects are called.
    """

    files: Sequence[tuple[str, Path]]
    main: Path | None = None
    structure: str | None = None


def find_masks(
    image: Path | None, given: GivenMasks, overrides: Sequence[str], flags: Mapping[str, Any]
) -> tuple[RunSettings, Masks]:
    """The settings, and for each input its masks.

    Parameters
    ----------
    image : Path, optional
        File, or folder of files; without one the masks of the main objects are the input.
    given : GivenMasks
    overrides : sequence of str
        ``name=value`` of settings.
    flags : mapping
        Settings by name; ``None`` where not given.

    Raises
    ------
    SettingsError
        ``E-MASKS``: no masks, or the main objects twice; ``E-USAGE``; settings that do not exist.
    InputError
        ``E-NO-INPUT``, ``E-NOT-FOUND``, ``E-PAIR``: an image without masks of its name, or the reverse.
    """
    content = with_overrides({}, list(overrides))
    for part in ("contacts", "colocalisation"):
        if isinstance(content.get(part), dict) and flags.get(part):
            flags = {**flags, part: {**content[part], **flags[part]}}
    content |= {name: value for name, value in flags.items() if value is not None}
    files = _by_structure(given, content.get("modality"))
    main = _main(given, files)
    # Any structure can be measured alone; what lies outermost then stands for the cell.
    inputs = find_inputs([str(files[main] if image is None else image)], axes=content.get("axes"))
    if image is None:
        if content.get("modality", "labels") != "labels":
            raise SettingsError("E-MASKS", "a modality is named, but no image.", cure="Give the image first.")
        content["modality"] = "labels"
    elif "modality" not in content:
        options = {name: content.get(name) for name in ("voxel_size_um", "axes", "time_step_s", "dataset")}
        content["modality"] = modality_of_files(inputs, ReadOptions(**options))
    settings = build_settings(RunSettings, {**content, "model": "masks", "structure": main})
    modality(settings.modality)
    return settings, _matched(inputs, files, is_alone=image is None, main=main)


def _by_structure(given: GivenMasks, kind: str | None) -> dict[str, Path]:
    """Structure by its registered name -> file; the bare argument is the modality's main structure."""
    named = list(given.files)
    if given.main is not None:
        named.append((given.structure or (CELL if kind is None else modality(kind).structures[0].name), given.main))
    files: dict[str, Path] = {}
    for name, path in named:
        structure = canonical_name(name)
        if structure in files:
            raise SettingsError(
                "E-MASKS",
                f"masks of {name} are given twice: {files[structure]} and {path}.",
                cure="Leave one out, or name the main objects with --structure.",
            )
        files[structure] = path
    if not files:
        raise SettingsError(
            "E-MASKS",
            "there are no masks to measure.",
            cure="Name their file: `tomocyte measure IMAGE LABELS`, or `--cell FILE` or `--labels NAME=FILE`, with or "
            "without an image. To segment an image, use `tomocyte run`.",
        )
    for path in files.values():
        if not path.exists():
            raise InputError("E-NOT-FOUND", "no such file or folder.", path=path, cure="Check the path.")
    return files


def _main(given: GivenMasks, files: Mapping[str, Path]) -> str:
    """The structure that the others lie in: cells where there are any, whatever --structure says of the bare file."""
    if CELL in files or given.structure is None:
        return CELL if CELL in files else in_drawing_order(files)[0]
    return canonical_name(given.structure)


def _matched(inputs: list[Path], files: Mapping[str, Path], *, is_alone: bool, main: str) -> Masks:
    """For each input the files of its masks: those given, or of folders the ones of the same name."""
    folders = {name: path for name, path in files.items() if path.is_dir() and find_inputs([str(path)]) != [path]}
    if not folders and len(inputs) == 1:
        return {inputs[0]: dict(files)}
    masks: Masks = {}
    named = {name: _by_name(path) for name, path in folders.items()}
    for path in inputs:
        name = _plain(path)
        found = {structure: listed[name] for structure, listed in named.items() if name in listed}
        missing = sorted(files.keys() - found.keys())
        if missing:
            raise InputError(
                "E-PAIR",
                f"there is no mask of {', '.join(missing)} with this name.",
                path=path,
                cure=f"Give folders with a file for each image, e.g. {_example(files[missing[0]], name)}.",
            )
        masks[path] = found
    names = {_plain(path) for path in inputs}
    unused = [path.name for listed in named.values() for name, path in listed.items() if name not in names]
    if unused and not is_alone:
        raise InputError(
            "E-PAIR",
            f"{', '.join(unused[:3])} {'has' if len(unused) == 1 else 'have'} no image of the same name.",
            path=files[main],
            cure="Give the images, or move these files away.",
        )
    return masks


def _example(given: Path, name: str) -> str:
    """A file of masks for an image, in the folder that is given, or in one that has the name of a file that is."""
    folder = given if given.is_dir() else given.with_name(stem_of(given))
    return shown_name(folder / f"{name}.tif")


def _by_name(folder: Path) -> dict[str, Path]:
    return {_plain(path): path for path in find_inputs([str(folder)])}


def _plain(path: Path) -> str:
    """The name without the format's ending and without one that says labels."""
    name = stem_of(path)
    ending = next((one for one in LABEL_ENDINGS if name.endswith(one)), "")
    return name.removesuffix(ending)
