"""A volume's header and the plan of a run, as lines for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tomocyte.volume import Volume

UNITS = {"voxel_size_um": "µm", "medium_ri": "1", "time_s": "s"}
LONGEST_VALUE = 100
MOST_LABELS = 20
ORIGIN_TEXTS = {
    "file": "from the file",
    "user": "given by the user",
    "measured": "measured",
    "simulated": "from the simulation",
}
CONFIDENCE_TEXTS = {
    "none": "not estimated",
    "single": "from the model's probabilities",
    "flips": "from predictions of the flipped image",
    "ensemble": "from an ensemble of models",
}


def describe(content: Mapping[str, Any]) -> list[str]:
    """Lines for ``tomocyte info`` and ``tomocyte run --dry-run``.

    Parameters
    ----------
    content : mapping
        A volume's header; with the plan and the forecast as :func:`tomocyte.pipeline.preview` returns them.

    Returns
    -------
    list of str
        A key of ten letters, then its value.
    """
    frames, channels, *space = content["shape"]
    origin = {name: _said_by(name, content) for name in content["origin"]}
    size = content["voxel_size_um"]
    voxel = (
        "missing: give --voxel-size-um Z Y X"
        if size is None
        else (" x ".join("-" if math.isnan(part) else f"{part:.6g}" for part in size) + " um (z, y, x)")
    )
    lines = [
        f"shape      T={frames} C={channels} Z={space[0]} Y={space[1]} X={space[2]}, {content['dtype']}",
        f"voxel size {voxel}{_from(origin, 'voxel_size_um')}",
        f"quantity   {_quantity(content['quantity'] or 'unknown', content['unit'])}{_from(origin, 'quantity')}",
        f"medium RI  {_medium(content['medium_ri'], _from(origin, 'medium_ri'))}",
    ]
    if frames > 1:
        step = content["time_step_s"]
        lines.append(f"time step  {'irregular or unknown' if step is None else f'{step:g} s'}{_from(origin, 'time_s')}")
    if "plan" in content:
        lines += describe_plan(content["plan"])
    if "seconds" in content:
        lines.append(f"forecast   {human_bytes(content['peak_bytes'])} of memory, {human_seconds(content['seconds'])}")
    return lines + [f"note       {note}" for note in content["notes"]]


def describe_plan(plan: Mapping[str, Any]) -> list[str]:
    """Lines that show what a run will do with one input.

    Parameters
    ----------
    plan : mapping
        From :meth:`tomocyte.pipeline.Plan.describe`.

    Returns
    -------
    list of str
        Stages, channels, model, cells, confidence and measurements.
    """
    channels = [
        f"{channel['name']}: {_quantity(channel['quantity'], channel['unit'])}"
        f"{' (segmented)' if channel['name'] == plan['segmented_channel'] else ''}"
        for channel in plan["channels"]
    ]
    n_measurements = len(plan["measurements"]) + len(plan["extra_measurements"])
    return [
        f"stages     {' > '.join(plan['stages'])}",
        f"channels   {', '.join(channels)}",
        *_derived(plan["derived_channels"]),
        f"model      {_model(plan)}",
        *_cascade(plan["cascade"]),
        f"cells      {_cells(plan)}",
        f"confidence {CONFIDENCE_TEXTS[plan['confidence']]}",
        f"measures   {count_of(n_measurements, 'measurement')}; main objects are called {plan['main_structure']}",
        *([f"edits      {count_of(plan['n_edits'], 'correction')} by hand"] if plan["n_edits"] else []),
    ]


def _derived(derived: Mapping[str, Any] | None) -> list[str]:
    """What is made of the channels."""
    if derived is None:
        return []
    direction = derived["direction"].replace("yellow", derived["yellow"]).replace("red", derived["red"])
    registered = "" if derived["registration"] == "none" else f"; registered {derived['registration']}"
    return [f"derived    intensity: mean of {derived['yellow']} and {derived['red']}; ratio: {direction}{registered}"]


def _cascade(steps: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """What each of several networks sees, finds and makes."""
    lines = []
    for step in steps or ():
        parts = [f"sees {', '.join(step['inputs'])}"]
        if step["finds"]:
            parts.append(f"finds {', '.join(step['finds'])}")
        if step["makes"]:
            parts.append(f"makes {', '.join(step['makes'])}")
        lines.append(f"           {step['model']} {', '.join(parts)}")
    return lines


def _model(plan: Mapping[str, Any]) -> str:
    if plan["masks"]:
        return ", ".join(f"{structure} from {name}" for structure, name in plan["masks"].items())
    if plan["engine"] is None:
        return f"{plan['model']} (no trained network)"
    engine = plan["engine"]
    computed = f"engine {engine['engine']}, precision {engine['precision']}, device {engine['device']}"
    return f"{plan['model']} on {', '.join(plan['model_channels'])}; {computed}"


def _cells(plan: Mapping[str, Any]) -> str:
    """How touching cells are separated."""
    method = plan["cells"]
    if method != "as-found":
        by = {"watershed": "a watershed from the nuclei", "components": "connected components"}
        return f"separated by {by.get(method, f'the network {method}')}"
    if plan["masks"]:
        return "as the masks give them"
    if plan["engine"] is not None:
        return "as the model finds them"
    classical = plan["classical"]["split"]["method"]
    return "not separated where they touch" if classical == "none" else f"separated by a watershed ({classical})"


def _quantity(name: str, unit: str) -> str:
    return f"{name} in {unit}" if unit not in ("", "1") else name


def _medium(value: float | str | None, origin: str) -> str:
    """The refractive index of the medium and its origin, or how it will be measured."""
    if value is None:
        return "unknown"
    return f"{value:.6g}{origin}" if isinstance(value, float) else "measured in the background of each frame"


def count_of(number: int, noun: str) -> str:
    """A number with its noun in the singular or plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _from(origin: Mapping[str, str], field: str) -> str:
    """Where a property comes from, in brackets."""
    return f" ({origin[field]})" if field in origin else ""


def _said_by(name: str, content: Mapping[str, Any]) -> str:
    """Who says a property: the origin, and the field or option where it is known."""
    source = content.get("sources", {}).get(name)
    return ORIGIN_TEXTS[content["origin"][name]] + ("" if source is None else f": {source}")


def properties(volume: Volume) -> list[dict[str, Any]]:
    """Every property of a volume with its value, unit, origin and source, for ``tomocyte info --json``.

    Parameters
    ----------
    volume : Volume

    Returns
    -------
    list of dict
        ``property``, ``value`` (``None`` where nobody says it), ``unit``, ``origin`` and ``source``.
    """
    values = {
        "voxel_size_um": volume.voxel_size_um,
        "quantity": volume.quantity,
        "unit": volume.unit or None,
        "medium_ri": volume.medium_ri,
        "time_s": volume.time_s,
        "channel_names": volume.channel_names or None,
    }
    return [
        {
            "property": name,
            "value": plain(value),
            "unit": UNITS.get(name, ""),
            "origin": volume.origin.get(name),
            "source": volume.sources.get(name),
        }
        for name, value in values.items()
    ]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are not finite become ``None``, what is unknown to JSON text."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def describe_metadata(images: Sequence[str], metadata: Mapping[str, Any]) -> list[str]:
    """Lines for the images that can be chosen and for whatever else a file says.

    Parameters
    ----------
    images : sequence of str
        Names for ``--dataset``.
    metadata : mapping
        As :attr:`tomocyte.volume.Volume.metadata`.

    Returns
    -------
    list of str
        One line per entry; what is long is cut here and whole in ``--json``.
    """
    lines = [f"image {index:<4} {name}" for index, name in enumerate(images)]
    for name, value in metadata.items():
        text = " ".join(str(value).split())
        shown = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"
        lines.append(f"metadata   {name}: {shown}")
    return lines


def describe_label_names(volume: Volume) -> list[str]:
    """Lines for the names and colours of labels; the first few here, all in ``--json``.

    Examples
    --------
    >>> from tomocyte.volume import LabelName
    >>> named = Volume.from_array(np.zeros((4, 5), np.uint8), label_names=(LabelName(3, "nucleus", "#E69F00"),))
    >>> describe_label_names(named)
    ['label 3    nucleus #E69F00']
    """
    names = volume.label_names
    lines = []
    for one in names[:MOST_LABELS]:
        layer = f" (channel {one.channel})" if volume.n_channels > 1 else ""
        lines.append(f"label {one.value:<4} {' '.join((one.name, one.colour)).strip()}{layer}")
    more = [f"labels     … {len(names) - MOST_LABELS} more names"] if len(names) > MOST_LABELS else []
    return lines + more


def human_bytes(count: float) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def human_seconds(count: float) -> str:
    """Seconds, or minutes from two minutes on."""
    return f"{count:.0f} s" if count < 120 else f"{count / 60:.0f} min"
