"""Every cell on a tile of its own, to look through a thousand at once: by any column, low confidence first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomocyte.runs.report.contents import described, measured_columns, without_ends
from tomocyte.runs.report.rounding import rounded
from tomocyte.runs.report.section import ReportContent, Section, data_uri

if TYPE_CHECKING:
    import pandas as pd

MOST_CARDS = 2000
CARDS_ON_SHEET = 100
"""Cards that are there at a time; the page draws those of the next sheet when it is asked for them."""
FIRST_COLUMNS = ("confidence", "cell_confidence")
"""What the gallery is sorted by at first: the first of these that the table has, else its first column."""


def gallery_view(content: ReportContent) -> dict[str, Any] | None:
    """The sprites, and a card per cell that has a tile, low confidence first; None where no input has tiles."""
    tiles, sprites = _tiles(content)
    if not tiles:
        return None
    cells = _cells(content, tiles)
    keys = [column for column in without_ends(measured_columns(cells)) if cells[column].notna().any()]
    keys = [*(column for column in FIRST_COLUMNS if column in keys), *(key for key in keys if key not in FIRST_COLUMNS)]
    if keys:
        cells = cells.sort_values(keys[0], kind="stable", na_position="last")
    n_all, cells = len(cells), cells.iloc[:MOST_CARDS]
    cards = [_card(row, tiles, keys[0] if keys else "") for row in cells.to_dict("records")]
    bars = sorted({float(sprite["bar_um"]) for sprite in sprites})
    return {
        "sprites": sprites,
        "cards": cards[:CARDS_ON_SHEET],
        "n_cards": len(cards),
        "data": _data(cards, sprites, cells[keys]),
        "columns": [described(column, content.dictionary) for column in keys],
        "is_by_confidence": bool(keys) and keys[0] in FIRST_COLUMNS,
        "n_all": n_all,
        "frames": _shown_frames(content, cells),
        "bars": [f"{length:g} µm" for length in bars],
    }


def _tiles(content: ReportContent) -> tuple[dict[tuple[str, int, int], dict[str, Any]], list[dict[str, Any]]]:
    """Item, frame and label -> sprite and place of the tile; and the sprites."""
    tiles: dict[tuple[str, int, int], dict[str, Any]] = {}
    sprites: list[dict[str, Any]] = []
    for number in sorted(content.detailed):
        item = content.items[number]
        for preview in item.previews("cells"):
            n_columns, (rows, columns) = preview["n_columns"], preview["tile_px"]
            uri = data_uri(Path(preview["path"]).read_bytes())
            sprite = {"number": len(sprites), "uri": uri, "bar_um": preview["bar_um"]}
            sprites.append(sprite)
            for place, label in enumerate(preview["labels"]):
                row, column = divmod(place, n_columns)
                tiles[(item.name, preview["frame"], label)] = {
                    "sprite": sprite["number"], "x": -column * columns, "y": -row * rows, "item": number + 1,
                    "bar_um": preview["bar_um"],
                }  # fmt: skip
    return tiles, sprites


def _cells(content: ReportContent, tiles: dict[tuple[str, int, int], dict[str, Any]]) -> pd.DataFrame:
    """The rows of the table that have a tile."""
    main = {item.name: item.facts.get("primary", "cell") for item in content.items}
    table = content.table
    table = table[table["structure"] == table["item"].map(main)]
    frames = table["frame"] if "frame" in table else [0] * len(table)
    is_shown = [place in tiles for place in zip(table["item"], map(int, frames), map(int, table["label"]), strict=True)]
    return table[is_shown]


def _card(row: Mapping[Any, Any], tiles: dict[tuple[str, int, int], dict[str, Any]], key: str) -> dict[str, Any]:
    frame = int(row.get("frame", 0))
    tile = tiles[(row["item"], frame, int(row["label"]))]
    track = row.get("track_id")
    return {
        **tile,
        "name": row["item"],
        "label": int(row["label"]),
        "frame": frame,
        "track": None if track is None or math.isnan(track) else int(track),
        "value": rounded(float(row[key]), key) if key else "",
        "bar": f"{tile['bar_um']:g} µm",
    }


def _shown_frames(content: ReportContent, cells: pd.DataFrame) -> str:
    """Which cells of films have a tile, in words; empty where all have."""
    all_cells = content.table[content.table["structure"].isin(set(cells["structure"]))]
    if "frame" not in cells or len(all_cells) == len(cells):
        return ""
    frames = sorted({int(frame) for frame in cells["frame"]})
    some = ", ".join(map(str, frames[:12])) + (", …" if len(frames) > 12 else "")
    return f"{len(cells)} of {len(all_cells)} cells are shown, those of frame{'s' * (len(frames) > 1)} {some}."


def _data(cards: list[dict[str, Any]], sprites: list[dict[str, Any]], values: pd.DataFrame) -> dict[str, Any]:
    """What the page needs to draw any card, and to sort them."""
    names = ("item", "label", "frame", "track", "sprite", "x", "y")
    return {
        "items": {card["item"]: card["name"] for card in cards},
        "bars": [f"{sprite['bar_um']:g} µm" for sprite in sprites],
        "cards": [[card[name] for name in names] for card in cards],
        "values": {str(key): [_number(value) for value in values[key]] for key in values},
    }


def _number(value: Any) -> float | int | None:
    """A number with five digits, which is what sorting and showing need; None where there is none."""
    number = float(value)
    if not math.isfinite(number):
        return None
    short = float(f"{number:.5g}")
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


SECTION = Section("gallery", "Gallery of cells", gallery_view)
