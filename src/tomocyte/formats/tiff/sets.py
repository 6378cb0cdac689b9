"""An OME-TIFF as one of a set: which image a file stands for, and which file holds which of its planes.

The image is the one whose ``TiffData`` name the file itself, by its name or else by its UUID. Other files of a set must
lie in the folder of the file; nothing outside it is ever opened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

from tomocyte.errors import InputError, TomocyteError
from tomocyte.formats._hostile import companion_path, parsing
from tomocyte.formats.tiff.meta import Declared, damaged
from tomocyte.formats.tiff.ome import (
    OmeImage,
    declared_by_ome,
    missing_image,
    named_image,
    ome_images,
    ome_master,
    ome_root,
    shown_images,
)
from tomocyte.formats.tiff.pages import LIBRARY_ERRORS, is_tiff, open_tiff

Target = tuple[str | None, str | None]
MOST_NAMES = 5
COMPANION_SUFFIX = ".companion.ome"
SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")


class OmeSet:
    """What the OME-XML of a file says of the set that it belongs to.

    Parameters
    ----------
    text : str
        The OME-XML in the file.
    path : Path
        The file.
    places : dict, optional
        Where targets lie in the folder of the file, as far as other files of it have asked; receives what is asked now.

    Raises
    ------
    InputError
        ``E-TIFF-META``, ``E-XML-DOCTYPE``, ``E-COMPANION-OUTSIDE`` or ``E-COMPANION-MISSING``.
    """

    def __init__(self, text: str, path: Path, *, places: dict[Target, Path | None] | None = None) -> None:
        self.path = path
        self._places = {} if places is None else places
        root = ome_root(text, path)
        self.uuid = root.get("UUID")
        self.root, self.holder = _holder(root, path)
        self.images = ome_images(self.root, path)
        self.notes: list[str] = []

    @cached_property
    def own(self) -> frozenset[Target]:
        """The targets that are the file itself."""
        targets = dict.fromkeys(target for image in self.images for target in image.targets)
        unnamed = {target for target in targets if target == (None, None) and self.holder == self.path.resolve()}
        by_name = {target for target in targets if target[0] is not None and self._is_own_name(target[0])}
        by_uuid = {target for target in targets if target[1] is not None and target[1] == self.uuid}
        if len({name for name, _ in by_uuid}) > 1:
            by_uuid = set()  # one UUID for several files identifies none
        return frozenset(unnamed | (by_name or by_uuid))

    def _is_own_name(self, name: str) -> bool:
        """Whether a name as written is this file's, in whatever folder it once was."""
        if _last(name) != self.path.name:
            return False
        try:
            return companion_path(name, self.path) == self.path.resolve()
        except InputError:
            return True

    def image(self, name: str | None) -> OmeImage:
        """The image that is meant: the one that is given, or the one that lies in this file.

        Parameters
        ----------
        name : str, optional
            Name, ID or index, as the user gives it.

        Raises
        ------
        InputError
            ``E-DATASET`` for an unknown one, ``E-TIFF-SET`` when nothing says which image lies in this file.
        """
        here = [image for image in self.images if self.own & set(image.targets)]
        if name is not None:
            return named_image(self.images, name, self.path)
        if len(here) > 1:
            self.notes.append(
                f'W-TIFF-SERIES: the file holds {len(here)} images; "{here[0].label}" is read and '
                f"{len(here) - 1} more are not. Give --dataset with one of: {shown_images(here)}."
            )
        if here:
            return here[0]
        lost = [image for image in self.images if None in map(self._located, image.targets)]
        if len(self.images) == 1 or len(lost) == 1:
            return (lost or self.images)[0]
        images = lost or self.images
        raise InputError(
            "E-TIFF-SET",
            f"its OME-XML describes {len(self.images)} images and names this file for none of them; it was renamed.",
            path=self.path,
            cure="Or give it its own name back.",
            missing=(missing_image(images),),
        )

    def files(self, image: OmeImage) -> dict[Target, Path]:
        """Where each target of an image lies.

        Raises
        ------
        InputError
            ``E-COMPANION-MISSING`` with the names of those that are not there.
        """
        here = self.path.resolve()
        places = {target: here if target in self.own else self._located(target) for target in image.targets}
        missing = [target for target, place in places.items() if place is None]
        if len(missing) == 1 and not self.own and is_tiff(self.path):
            name = missing[0][0] or missing[0][1]
            self.notes.append(f"W-TIFF-RENAMED: its OME-XML calls this file {name!r}; it was renamed.")
            return {target: place or here for target, place in places.items()}
        if missing:
            names = ", ".join(repr(name or uuid) for name, uuid in missing[:MOST_NAMES])
            more = f" and {len(missing) - MOST_NAMES} more" if len(missing) > MOST_NAMES else ""
            raise InputError(
                "E-COMPANION-MISSING",
                f"is one of a set of {len(places)} files, of which {names}{more} are not there.",
                path=self.path,
                cure="Copy all files of the set into one folder, under the names that they had.",
            )
        return {target: place for target, place in places.items() if place is not None}

    def _located(self, target: Target) -> Path | None:
        """The file of a target, by its name or else by its UUID among the files of the folder; ``None``: missing.

        Raises
        ------
        InputError
            ``E-COMPANION-OUTSIDE``.
        """
        name, uuid = target
        if name is None and uuid is None:
            return self.holder
        if target not in self._places:
            place = None if name is None else self._named(name)
            if place is None and uuid is not None:
                place = self._by_uuid.get(uuid)
            self._places[target] = place
        return self._places[target]

    def _named(self, name: str) -> Path | None:
        try:
            return companion_path(name, self.path)
        except InputError as error:
            return None if error.code == "E-COMPANION-MISSING" else self._moved(name, error)

    def _moved(self, name: str, error: InputError) -> Path:
        """The file of a name with a folder that may no longer be opened, if it now lies beside this one."""
        try:
            return companion_path(_last(name), self.path)
        except InputError:
            raise error from None

    @cached_property
    def _by_uuid(self) -> dict[str, Path]:
        """The TIFF files of the folder by their UUID; those that share one are left out."""
        found: dict[str, list[Path]] = {}
        here = self.path.resolve()
        for entry in sorted(here.parent.iterdir()):
            if not entry.name.lower().endswith(SUFFIXES) or not entry.is_file():
                continue
            place = entry.resolve()
            uuid = _uuid(place) if place.parent == here.parent else None
            if uuid is not None:
                found.setdefault(uuid, []).append(place)
        return {uuid: places[0] for uuid, places in found.items() if len(places) == 1}


def declared_by_set(text: str, path: Path, *, name: str | None) -> Declared:
    """What the OME-XML of a file says of its image, and where the planes lie.

    Parameters
    ----------
    text : str
        The OME-XML in the file.
    path : Path
        The file.
    name : str, optional
        Name, ID or index of the image that the user wants.

    Raises
    ------
    InputError
        As :class:`OmeSet`, its methods and :func:`declared_by_ome`.
    """
    described = OmeSet(text, path)
    image = described.image(name)
    declared = declared_by_ome(described.root, image, path)
    places = described.files(image)
    placements = tuple(replace(entry, place=places[entry.file_name, entry.uuid]) for entry in declared.placements)
    return replace(declared, placements=placements, notes=(*described.notes, *declared.notes))


def files_of_sets(paths: Sequence[Path]) -> list[tuple[Path, ...]]:
    """For each file the files that hold its OME image, itself among them; only itself for every other file.

    Parameters
    ----------
    paths : sequence of Path
        Any files; never raises for what they hold.

    Returns
    -------
    list of tuple of Path
        Resolved and sorted: equal for all files of one set.
    """
    places: dict[Path, dict[Target, Path | None]] = {}
    return [_files_of_set(path, places.setdefault(path.resolve().parent, {})) for path in paths]


def _files_of_set(path: Path, places: dict[Target, Path | None]) -> tuple[Path, ...]:
    here = path.resolve()
    try:
        if is_companion(path):
            return _files_of_set(from_companion(path, None)[0], places)
        if not is_ome_tiff(path):
            return (here,)
        described = OmeSet(_description(path), path, places=places)
        return tuple(sorted({*described.files(described.image(None)).values()}))
    except (TomocyteError, OSError):
        return (here,)


def is_companion(path: Path) -> bool:
    """Whether a file holds the OME-XML of a set and no pixels; never raises."""
    try:
        with path.open("rb") as file:
            return path.name.lower().endswith(COMPANION_SUFFIX) and file.read(512).lstrip().startswith(b"<")
    except OSError:
        return False


def from_companion(path: Path, name: str | None) -> tuple[Path, str]:
    """The file that holds the first plane of the image that a companion describes, and the index of that image.

    Parameters
    ----------
    path : Path
        A ``.companion.ome`` file.
    name : str, optional
        Name, ID or index of the image that the user wants; needed where there are several.

    Raises
    ------
    InputError
        As :class:`OmeSet`, and ``E-DATASET``.
    """
    described = OmeSet(path.read_text(encoding="utf-8", errors="replace"), path)
    if name is None and len(described.images) > 1:
        raise InputError(
            "E-DATASET",
            f"describes {len(described.images)} images.",
            path=path,
            cure="Or give their own files as inputs.",
            missing=(missing_image(described.images),),
        )
    image = described.images[0] if name is None else named_image(described.images, name, path)
    files = described.files(image)
    first = files[image.targets[0]]
    if first == path.resolve():
        raise damaged(path, "does not say which file holds which plane.")
    return first, str(image.index)


def is_ome_tiff(path: Path) -> bool:
    """Whether a file is an OME-TIFF, by what it holds; never raises for what it holds."""
    if not is_tiff(path):
        return False
    try:
        with open_tiff(path) as tif, parsing(path, "E-TIFF", also=LIBRARY_ERRORS):
            return bool(tif.pages.first.is_ome)
    except (TomocyteError, OSError):
        return False


def _holder(root: ElementTree.Element, path: Path) -> tuple[ElementTree.Element, Path]:
    """The OME-XML of a set and the file that holds it: this one, or the one that it names (``BinaryOnly``)."""
    name = ome_master(root)
    if name is None:
        return root, path.resolve()
    master = companion_path(name, path)
    text = _description(master) if is_tiff(master) else master.read_text(encoding="utf-8", errors="replace")
    root = ome_root(text, master)
    if ome_master(root) is not None:
        raise damaged(path, f"{name[:80]!r} should hold its metadata and does not.")
    is_complete = is_tiff(master) or all((None, None) not in image.targets for image in ome_images(root, path))
    if not is_complete:
        raise damaged(path, f"{name[:80]!r} does not say which file holds which plane.")
    return root, master


def _last(name: str) -> str:
    """A name without folders, of either kind of slash."""
    return re.split(r"[/\\]", name)[-1]


def _description(path: Path) -> str:
    if not is_tiff(path):
        return ""
    with open_tiff(path) as tif, parsing(path, "E-TIFF", also=LIBRARY_ERRORS):
        return str(tif.pages.first.description)


def _uuid(path: Path) -> str | None:
    try:
        return ome_root(_description(path), path).get("UUID")
    except (TomocyteError, OSError):
        return None
