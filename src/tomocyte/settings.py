"""Settings: one frozen class per step, documented per field, refusing unknown keys.

YAML comes in through :func:`load_settings`, JSON goes out into ``run.json``. The class of a step stands in the
``settings.py`` of its room. Never accept a setting and ignore it. :func:`commented_lines` prints settings with what
each field means.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from tomocyte.errors import SettingsError, TomocyteError


class Settings(BaseModel):
    """Frozen, typed, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)
WIDTH = 110
UNITS = {"um": "µm", "um2": "µm²", "um3": "µm³", "s": "s", "voxels": "voxels"}
"""Last word of a field's name -> the unit of its value."""
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
NUMBERS = {int: "a whole number", float: "a number"}


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
        ``E-SETTINGS`` naming each field that is unknown, missing or out of bounds; the error of a file that a field
        names, as it is.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as problem:
        for error in problem.errors():
            cause = error.get("ctx", {}).get("error")
            if isinstance(cause, TomocyteError):
                raise cause from problem
        lines = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in problem.errors()]
        raise SettingsError("E-SETTINGS", "; ".join(lines) + ".", cure="See `tomocyte settings`.") from problem


def commented_lines(settings: BaseModel, *, names: Mapping[str, Any] | None = None, indent: str = "") -> Iterator[str]:
    """Lines of YAML with every field below its meaning, unit and range; :func:`load_settings` reads them back.

    Parameters
    ----------
    settings : BaseModel
        Its fields have docstrings.
    names : mapping, optional
        Fields that were given as the name of a preset, which stays a name.
    indent : str
        Before every line.

    Examples
    --------
    >>> from pydantic import Field
    >>> class Blur(Settings):
    ...     sigma_um: float = Field(default=0.5, ge=0, le=20, description="Width of the Gaussian.")
    >>> print("\\n".join(commented_lines(Blur())))
    # Width of the Gaussian. [µm; at least 0, at most 20]
    sigma_um: 0.5
    """
    content = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        text = " ".join((field.description or "").replace("``", "").split())
        about = "; ".join(part for part in (unit_of(name), allowed_values(field)) if part)
        lines = textwrap.wrap(text, WIDTH - len(indent), break_on_hyphens=False)
        if about and lines and len(f"{lines[-1]} [{about}]") <= WIDTH - len(indent):
            lines[-1] += f" [{about}]"
        elif about:
            lines.append(f"[{about}]")
        yield from (f"{indent}# {line}" for line in lines)
        value, given = getattr(settings, name), (names or {}).get(name)
        if isinstance(value, BaseModel) and not isinstance(given, str):
            yield f"{indent}{name}:"
            yield from commented_lines(value, names=given if isinstance(given, Mapping) else None, indent=f"{indent}  ")
        else:
            shown = given if isinstance(given, str) else content[name]
            yield f"{indent}{name}: {json.dumps(shown, ensure_ascii=False)}"  # JSON is YAML


def unit_of(name: str) -> str:
    """The unit that the name of a field ends with, empty for none.

    Examples
    --------
    >>> unit_of("min_volume_um3"), unit_of("threshold")
    ('µm³', '')
    """
    return UNITS.get(name.rpartition("_")[2], "") if "_" in name else ""


def allowed_values(field: FieldInfo) -> str:
    """The range or the choices of a field in words; empty for any.

    Examples
    --------
    >>> class Blur(Settings):
    ...     kind: Literal["gaussian", "median"] = "median"
    ...     level: float | Literal["background"] | None = None
    >>> [allowed_values(field) for field in Blur.model_fields.values()]
    ['gaussian | median', 'a number | background | null']
    """
    limits = _limits(field.metadata)
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not Ellipsis]
    if get_origin(field.annotation) is Literal:
        return " | ".join(map(str, kinds))
    if get_origin(field.annotation) is tuple:
        return next((" | ".join(get_args(kind)) for kind in kinds if get_origin(kind) is Literal), limits)
    words = [_kind_in_words(kind) for kind in kinds]
    has_choices = any("|" in word or get_origin(kind) is Literal for word, kind in zip(words, kinds, strict=False))
    if has_choices or type(None) in kinds:
        shown = [word for word in words if word]
        if shown == ["null"]:
            return ""
        if shown == ["null"]:
            return ""
        return " | ".join(f"{word} ({limits})" if limits and word in NUMBERS.values() else word for word in shown)
    return limits


def _kind_in_words(kind: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = _limits(parts[1:])
        return f"{_kind_in_words(parts[0])}{f' ({limits})' if limits else ''}"
    if origin is Literal:
        return " | ".join(map(str, parts))
    if kind is type(None):
        return "null"
    if origin is tuple:
        inner = next((" | ".join(get_args(part)) for part in parts if get_origin(part) is Literal), "")
        if inner:
            return f"a list of {inner}"
        if str in parts:
            return "a list of names"
        return "a list of numbers" if Ellipsis in parts else f"a list of {len(parts)} numbers"
    return NUMBERS.get(kind, "text" if kind is str else "")


def _limits(metadata: Any) -> str:
    values = ((word, getattr(limit, name, None)) for limit in metadata for name, word in LIMITS.items())
    return ", ".join(f"{word} {value:g}" for word, value in values if value is not None)
