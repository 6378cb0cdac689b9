"""Settings: one frozen class per step, documented per field, refusing unknown keys.

YAML comes in through :func:`load_settings`, JSON goes out into ``run.json``. The class of a step stands in the
``settings.py`` of its room. Never accept a setting and ignore it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tomocyte.errors import SettingsError


class Settings(BaseModel):
    """Frozen, typed, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


def load_settings(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, unchecked (the settings class checks it).

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: not readable, not YAML, or not a mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingsError(
            "E-SETTINGS", f"cannot be read: {problem}.", path=path, cure="Give a YAML file."
        ) from problem
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError("E-SETTINGS", "is not a mapping of settings.", path=path, cure="Write `key: value` lines.")
    return content


def with_overrides(content: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of ``content`` with ``dotted.key=value`` laid over it; values are YAML scalars.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: an override without ``=``, or a path through something that is no mapping.
    """
    import copy

    import yaml

    result = copy.deepcopy(content)
    for override in overrides:
        dotted, separator, text = override.partition("=")
        if not separator:
            raise SettingsError("E-SETTINGS", f"{override!r} has no `=`.", cure="Write --set key.part=value.")
        *parents, last = dotted.strip().split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise SettingsError("E-SETTINGS", f"{dotted!r} goes through a value that has no fields of its own.")
        place[last] = yaml.safe_load(text)
    return result


def build_settings(kind: type[S], content: dict[str, Any]) -> S:
    """Check a mapping against a settings class.

    Raises
    ------
    SettingsError
        ``E-SETTINGS`` naming each field that is unknown, missing or out of bounds.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as problem:
        lines = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in problem.errors()]
        raise SettingsError("E-SETTINGS", "; ".join(lines) + ".", cure="See `tomocyte settings`.") from problem
