"""Which instrument took a tomogram: named by the user, else by the file, else unknown; nothing is assumed.

To know a further microscope, add a variant to :mod:`tomocyte.simulation.instruments.odt`; a file that gives that name
is then recognised.
"""

from __future__ import annotations

import re

from tomocyte.errors import SettingsError
from tomocyte.pipeline.settings import RunSettings
from tomocyte.simulation.instruments import instrument
from tomocyte.simulation.physics.optics import OdtInstrument
from tomocyte.volume import Origin, Volume

MODALITY = "odt"


def optics_of(volume: Volume, settings: RunSettings) -> tuple[OdtInstrument | None, Origin | None]:
    """The optics of a tomogram, and who says so; none where nobody does.

    Parameters
    ----------
    volume : Volume
        The name of its instrument decides, never the aperture in a TCF file, which is that of the condenser.
    settings : RunSettings

    Raises
    ------
    SettingsError
        ``E-INSTRUMENT``: the user names an instrument that is not known, or that the modality has no use for.
    """
    given = settings.instrument
    if settings.modality != MODALITY:
        if given is not None:
            raise SettingsError(
                "E-INSTRUMENT",
                f"an instrument is named, and {settings.modality} needs none.",
                cure="Leave out --instrument.",
            )
        return None, None
    if isinstance(given, OdtInstrument):
        return given, "user"
    variants = instrument(MODALITY).variants
    if given is not None:
        return instrument(MODALITY).variant(given), "user"
    names = {_plain(name): name for name in variants}
    name = names.get(_plain(volume.instrument))
    return (None, None) if name is None else (variants[name], volume.origin.get("instrument", "file"))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
