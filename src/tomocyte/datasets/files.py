"""Names of image files: which files of a folder are images, and what a name is without the format's ending.

The endings come from :func:`tomocyte.formats.formats`, so that a new format is found here by itself.
"""

from __future__ import annotations

from pathlib import Path

from tomocyte.formats import formats
from tomocyte.names import is_hidden, natural_key

ITEMS = "items"
"""Folder of one folder per item, in data sets and in the results of a run."""
LABELS = "labels"
"""Folder of an item's label images, next to its image."""


def image_endings() -> tuple[str, ...]:
    """Endings of image files, in lower case, with the dot."""
    return tuple(suffix for entry in formats().values() for suffix in entry.suffixes if suffix)


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order; without hidden files, and none where there is no folder."""
    if not folder.is_dir():
        return []
    endings = image_endings()
    images = (entry for entry in folder.iterdir() if entry.name.lower().endswith(endings))
    return sorted((entry for entry in images if not is_hidden(entry.name)), key=natural_key)


def stem_of(path: Path) -> str:
    """The name of a file without the format's ending; of several endings that fit, the longest.

    Examples
    --------
    >>> stem_of(Path("cell.01.ome.tif")), stem_of(Path("cell.TCF")), stem_of(Path("notes.txt"))
    ('cell.01', 'cell', 'notes.txt')
    """
    lower = path.name.lower()
    length = max((len(ending) for ending in image_endings() if lower.endswith(ending)), default=0)
    return path.name[: len(path.name) - length]


def item_folders(folder: Path) -> list[Path]:
    """The folders of the items of a data set or of a run's results, by name."""
    place = folder / ITEMS
    if not place.is_dir():
        return []
    return sorted(entry for entry in place.iterdir() if entry.is_dir() and not is_hidden(entry.name))


def named_images(folder: Path) -> dict[str, Path]:
    """Name without ending -> image file of a folder; a PNG gives way to another format of the same name.

    A PNG next to a volume of the same name is a picture of it.
    """
    files = sorted(image_files(folder), key=lambda path: not path.name.lower().endswith(".png"))
    return {stem_of(path): path for path in files}
