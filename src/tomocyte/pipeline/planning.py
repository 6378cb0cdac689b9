"""Planning: from settings and the header of an input to its plan; the one place where ``auto`` is resolved.

To let a run decide something new, add a field to the plan and resolve it in :func:`plan_run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tomocyte.channels import RATIO
from tomocyte.errors import ModalityError, SettingsError
from tomocyte.modalities import Modality, modality
from tomocyte.models.objects import BACKGROUND, finds_space_only
from tomocyte.models.settings import InferenceSettings
from tomocyte.notices import Notice
from tomocyte.pipeline.channels import role_notices, roles_of, with_derived
from tomocyte.pipeline.optics import optics_of
from tomocyte.pipeline.plan import AS_FOUND, CLASSICAL, MASKS, Channel, ConfidenceMethod, Plan
from tomocyte.pipeline.settings import RunSettings
from tomocyte.segmentation.settings import InclusionSettings, SegmentationSettings
from tomocyte.structures import BEAD, CELL, NUCLEUS
from tomocyte.volume import Origin, Volume, VoxelSize

if TYPE_CHECKING:
    from tomocyte.corrections.edits import EditList
    from tomocyte.models import ModelCard
    from tomocyte.models.cascade import PlannedCascade

AUTO = "auto"
CELL_METHODS = ("watershed", "components")
"""How cells are told apart without a network."""
LABELS_CHANNEL = "labels"
"""The channel in which a network that refines surfaces sees the first level."""
CELLS_MODEL = "odt-cells"
"""The network that tells cells apart where none is named."""
INTENSITIES = ("mean_intensity", "sd_intensity")
"""What is measured on channels of intensities, whatever the modality."""


def requested_card(settings: RunSettings) -> ModelCard | None:
    """The card of the model asked for; ``None`` for the classical engine. Weights are not read.

    Of ``auto`` it is that of the modality's own model, which a volume may still turn out not to fit.

    Raises
    ------
    SettingsError, InputError
        As :func:`tomocyte.models.loaded.read_organelles_card`.
    """
    name = modality(settings.modality).default_model if settings.model == AUTO else settings.model
    if name in (CLASSICAL, MASKS) or settings.cascade is not None:
        return None
    from tomocyte.models.loaded import read_organelles_card

    return read_organelles_card(name)


def requested_cells_card(settings: RunSettings) -> ModelCard | None:
    """The card of the network that tells cells apart in a run; ``None`` where none does. Weights are not read.

    Raises
    ------
    SettingsError
        ``E-CELLS``: asked for, but no model finds cells and nuclei; ``E-MODEL-NAME``; ``E-MODEL-ROLE``: the model
        named finds structures in images.
    """
    return _cells_card(settings, requested_card(settings))


def _cells_card(settings: RunSettings, card: ModelCard | None) -> ModelCard | None:
    from tomocyte.models import find_model, read_card

    if settings.cells == AS_FOUND:
        return None
    if not _finds_cells_and_nuclei(card, any_dimensions=settings.cells in CELL_METHODS):
        if settings.cells == AUTO:
            return None
        raise SettingsError(
            "E-CELLS",
            f"cells cannot be told apart by {settings.cells}: no trained model finds cells and nuclei in this run.",
            cure="Use --model with one that does, or --cells auto.",
        )
    if settings.cells in CELL_METHODS or (settings.cells == AUTO and card is not None and finds_space_only(card)):
        return None
    cells_card = read_card(find_model(CELLS_MODEL if settings.cells == AUTO else settings.cells))
    if cells_card.role != "cell-by-cell":
        raise SettingsError(
            "E-MODEL-ROLE",
            f"{cells_card.name} finds structures in images and cannot tell cells apart.",
            cure=f"Use --cells {CELLS_MODEL}, watershed, components or {AS_FOUND}; "
            f"give {cells_card.name} with --model.",
        )
    return cells_card


def requested_refinement_card(settings: RunSettings) -> ModelCard | None:
    """The card of the network that refines surfaces in a run; ``None`` where none does. Weights are not read.

    Raises
    ------
    SettingsError
        ``E-MODEL-NAME``; ``E-MODEL-ROLE``: the model named does not see an image and labels.
    """
    if settings.refinement.model is None:
        return None
    from tomocyte.models import find_model, read_card

    card = read_card(find_model(settings.refinement.model))
    is_fit = card.dimensions == 3 and len(card.channels) == 2 and card.channels[1] == LABELS_CHANNEL
    if not is_fit or card.activation != "softmax" or card.structures[0] != BACKGROUND:
        raise SettingsError(
            "E-MODEL-ROLE",
            f"{card.name} cannot refine surfaces: that takes a 3-D softmax network with the channels IMAGE, "
            f"{LABELS_CHANNEL} and {BACKGROUND} as its first structure.",
            cure="Use --refine boundary, which needs no network.",
        )
    return card


def requested_cascade(settings: RunSettings) -> PlannedCascade | None:
    """The networks that are applied one after the other in a run; ``None`` where there is one or none.

    Raises
    ------
    SettingsError, InputError
        As :func:`tomocyte.models.cascade.plan_cascade`.
    """
    if settings.cascade is None:
        return None
    from tomocyte.models.cascade import plan_cascade

    return plan_cascade(settings.cascade)


def _structures_of(card: ModelCard) -> set[str]:
    """What a model finds, by registered names."""
    from tomocyte.models.objects import canonical_structures

    return set(canonical_structures(card).values())


def _finds_cells_and_nuclei(card: ModelCard | None, *, any_dimensions: bool) -> bool:
    """Whether a model finds what cells are told apart by: cells and nuclei, in volumes (a network needs those)."""
    if card is None or NUCLEUS not in _structures_of(card):
        return False
    if CELL not in _structures_of(card) and not finds_space_only(card):
        return False
    return any_dimensions or card.dimensions == 3


def plan_run(
    volume: Volume,
    settings: RunSettings,
    *,
    edits: EditList | None = None,
    masks: Mapping[str, Path] | None = None,
    extra_measurements: Sequence[Callable[..., float]] = (),
) -> Plan:
    """Decide everything for one input.

    Parameters
    ----------
    volume : Volume
        With voxel size and quantity settled, as :func:`tomocyte.pipeline.open_input` returns it. Where the model is
        ``auto``, up to 16 of its planes are read.
    settings : RunSettings
    edits : EditList, optional
        Corrections of this volume; must be given where the settings name a file of them.
    masks : mapping of str to Path, optional
        Structure -> file; then nothing is segmented, and the settings' model is ``masks``.
    extra_measurements : sequence of callable, optional
        Functions that measure an object, a pair or a track, see :func:`tomocyte.measurements.measure`.

    Returns
    -------
    Plan

    Raises
    ------
    SettingsError
        ``E-MODEL-…``, ``E-CELLS``, ``E-UNCERTAINTY``, ``E-MEASUREMENT-NAME``, ``E-STRUCTURE``: the settings ask for
        what
        there is not; ``E-EDIT-FILE``: the settings name a file of edits that was not read.
    MetadataError
        ``E-CHANNEL``, ``E-VOXEL-SIZE``.
    InputError
        ``E-EDIT-…``: edits that cannot belong to this volume.
    """
    from tomocyte.corrections.files import check_edits
    from tomocyte.pipeline.stages import STAGES

    kind = modality(settings.modality)
    roles = roles_of(volume, settings)
    volume = with_derived(volume, settings)
    segmented = volume.channel_index(settings.channel)
    settings, card, notices, left_out = _resolve_model(settings, volume, segmented)
    if edits is None and settings.edits is not None:
        raise SettingsError("E-EDIT-FILE", "was not read.", path=settings.edits, cure="Give what load_edits() returns.")
    if edits is not None:
        check_edits(edits, volume, is_tracked=settings.tracking is not None)
    cascade = requested_cascade(settings)
    channels, converts = _channels(volume, kind, settings, segmented)
    classical = settings.segmentation or kind.segmentation
    outputs = set(cascade.structures) if cascade else set() if card is None else _structures_of(card)
    # Droplets and nucleoli told apart are a finer account of what the classical engine calls inclusions.
    if settings.segmentation is None and "lipid_droplet" in outputs:
        classical = classical.model_copy(update={"inclusion": InclusionSettings()})
    main = settings.structure or kind.structures[0].name
    _check_masks(settings, main, masks or {})
    if not masks:
        _check_main(main, outputs, classical)
    _check_beads(settings, card, classical)
    cells_card = _cells_card(settings, card)
    if settings.cells == AUTO and volume.n_frames > 1 and settings.tracking is not None:
        cells_card = None  # watershed tells cells that press each other apart more often than the network
    cells = "network" if cells_card is not None else settings.cells if settings.cells in CELL_METHODS else AS_FOUND
    if cascade is None:
        is_separable = _finds_cells_and_nuclei(card, any_dimensions=False)
    else:
        is_separable = NUCLEUS in outputs and bool(outputs & {CELL, "extracellular"})
    if settings.cells == AUTO and cells_card is None and is_separable:
        cells = CELL_METHODS[0]  # of cells that are what is left
    medium, medium_origin = _medium(volume, settings, channels[segmented].quantity)
    optics, optics_origin = optics_of(volume, settings)
    voxel_size_um = volume.require_voxel_size()
    if settings.mesh is not None and math.isnan(voxel_size_um[0]):
        raise SettingsError(
            "E-MESH-PLANAR",
            "a planar image has no surface to make a mesh of.",
            path=volume.path,
            cure="Leave out --mesh.",
        )
    if settings.refinement.method != "none" and math.isnan(voxel_size_um[0]):
        raise SettingsError(
            "E-REFINE-PLANAR",
            "the surfaces of a planar image cannot be refined.",
            path=volume.path,
            cure="Leave out --refine.",
        )
    is_grey = channels[segmented].quantity == "intensity" and kind.quantity != "intensity"
    measurements, pairs = _measurements(kind, channels, segmented, voxel_size_um, settings.measurements)
    plan = Plan(
        settings=settings,
        modality=kind,
        channels=channels,
        segmented=segmented,
        voxel_size_um=voxel_size_um,
        converts=converts,
        medium_ri=medium,
        medium_origin=medium_origin,
        model=None if card is None else settings.model,
        card=card,
        engine=None if card is None else _engine(settings.inference),
        model_channels=() if card is None else model_channels(card, volume, segmented),
        classical=classical,
        confidence=_confidence(card, settings),
        is_confidence_required=settings.uncertainty.method != "auto" or settings.uncertainty.is_map_written,
        cells=cells,
        cells_model=None if cells_card is None else CELLS_MODEL if settings.cells == AUTO else settings.cells,
        cells_card=cells_card,
        refinement_card=requested_refinement_card(settings),
        main=main,
        measurements=measurements,
        pair_measurements=pairs,
        extra_measurements=tuple(extra_measurements),
        stages=(),
        edits=edits,
        notices=(
            *_volume_notices(volume, settings, _use_of_channels(volume, settings, segmented, card, cascade), is_grey),
            *role_notices(roles, channels),
            *notices,
        ),
        left_out_model_sha256=left_out,
        cascade=cascade,
        masks=dict(masks or {}),
        optics=optics,
        optics_origin=optics_origin,
        n_frames=volume.n_frames,
        roles=roles,
    )
    return replace(plan, stages=tuple(name for name, stage in STAGES.items() if stage.is_needed(plan)))


def _resolve_model(
    settings: RunSettings, volume: Volume, segmented: int
) -> tuple[RunSettings, ModelCard | None, tuple[Notice, ...], str | None]:
    """The settings with ``auto`` made the modality's own model, or the classical engine where that does not fit.

    The card's hash is that of a model that was left out.
    """
    card = requested_card(settings)
    if settings.model != AUTO:
        return settings, card, (), None
    if card is None:
        return settings.model_copy(update={"model": CLASSICAL}), None, (), None
    from tomocyte.models import check_fit
    from tomocyte.models.loaded import card_sha256

    name = modality(settings.modality).default_model
    if not settings.is_forced:
        try:
            check_fit(card, volume, channels=model_channels(card, volume, segmented))
        except ModalityError as problem:
            text = f"{name} was left out, the classical engine used: {problem.problem}"
            plain = RunSettings(modality=settings.modality, model=CLASSICAL)
            names = ("model", "inference", "cells", "uncertainty")
            fallen = settings.model_copy(update={name: getattr(plain, name) for name in names})
            return fallen, None, (Notice("W-MODEL-AUTO", text),), card_sha256(card)
    return settings.model_copy(update={"model": name}), card, (), None


def model_channels(card: ModelCard, volume: Volume, segmented: int) -> tuple[int, ...]:
    """The volume's channels that a model sees: the one segmented, or those of the same names, or the first ones.

    A single one is the segmented one, unless it is one that was derived.
    """
    if len(card.channels) == 1 and card.channels[0] not in modality(card.modality).derived_channels:
        return (segmented,)
    if set(card.channels) <= set(volume.channel_names):
        return tuple(volume.channel_names.index(name) for name in card.channels)
    return tuple(range(volume.n_channels))


def _channels(
    volume: Volume, kind: Modality, settings: RunSettings, segmented: int
) -> tuple[tuple[Channel, ...], bool]:
    """What each channel holds, and whether the segmented one is converted.

    Channels that the modality needs, the segmented one first, hold its quantity; any other beside them an intensity.
    """
    quantity, unit = volume.quantity or kind.quantity, volume.unit
    converts = kind.conversion(quantity, settings) is not None or settings.lac_from_beads is not None
    own = {segmented} if len(kind.channels) == 1 else set(range(volume.n_channels))
    channels = []
    for index, name in enumerate(volume.channels):
        if name == RATIO and kind.derived_channels:
            channels.append(Channel(name, "ratio", "1"))
        elif converts and index == segmented:
            channels.append(Channel(name, kind.quantity, kind.unit))
        elif index in own or volume.quantity == "intensity":
            channels.append(Channel(name, quantity, unit))
        else:
            channels.append(Channel(name, "intensity", ""))
    return tuple(channels), converts and settings.lac_from_beads is None


def _check_masks(settings: RunSettings, main: str, masks: Mapping[str, Path]) -> None:
    """Refuse to segment label images, and a measurement without the masks of its main objects."""
    if bool(masks) != (settings.model == MASKS):
        raise SettingsError(
            "E-MASKS",
            "no masks are given." if settings.model == MASKS else "with masks, nothing is segmented.",
            cure="Use `tomocyte measure` with --cell FILE or --labels NAME=FILE, or another --model.",
        )
    if settings.modality == "labels" and not masks:
        raise SettingsError(
            "E-MASKS",
            "label images hold nothing to segment.",
            cure="Measure them with `tomocyte measure --cell FILE -o FOLDER`, or name another --modality.",
        )
    if masks and main not in masks:
        raise SettingsError(
            "E-MASKS", f"there are no masks of {main}, the main objects.", cure="Name the main objects by --structure."
        )


def _check_main(main: str, outputs: set[str], classical: SegmentationSettings) -> None:
    """Refuse a name for the main objects that another structure of the run, of the networks or not, has."""
    taken = outputs - {main, CELL}
    if main != CELL and {main, CELL} <= outputs:
        taken.add(main)
    taken |= {"nucleus"} if classical.nucleus.method != "none" else set()
    taken |= {"inclusion"} if classical.inclusion.method != "none" else set()
    if main in taken:
        raise SettingsError(
            "E-STRUCTURE",
            f"the main objects cannot be called {main}: another structure of this run is.",
            cure="Give --structure another name, or switch that structure off.",
        )


def _check_beads(settings: RunSettings, card: ModelCard | None, classical: SegmentationSettings) -> None:
    """Refuse a scale from beads that nothing looks for."""
    is_sought = classical.bead.method != "none" or (card is not None and BEAD in _structures_of(card))
    if settings.lac_from_beads is not None and (settings.model == MASKS or not is_sought):
        raise SettingsError(
            "E-BEADS",
            "beads are to give the scale, and nothing in this run looks for beads.",
            cure="Use --set segmentation.bead.method=ball, or a model that finds beads.",
        )


def _medium(
    volume: Volume, settings: RunSettings, quantity: str
) -> tuple[float | Literal["background"] | None, Origin | None]:
    """One rule: given by the user, else read from the file; or measured in each frame where that is asked for."""
    if settings.medium_ri == "background" and quantity == "refractive_index":
        return "background", "measured"
    return volume.medium_ri, None if volume.medium_ri is None else volume.origin.get("medium_ri")


def _measurements(
    kind: Modality,
    channels: tuple[Channel, ...],
    segmented: int,
    voxel_size_um: VoxelSize,
    further: tuple[str, ...],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modality's measurements and those asked for beside them: of objects, and of pairs.

    Beside a refractive index, say, channels of intensities are measured as such.
    """
    from tomocyte.measurements import find_measurements

    names = list(kind.columns(channels[segmented].quantity, is_planar=math.isnan(voxel_size_um[0])))
    if any(channel.quantity == "intensity" for channel in channels):
        names += [name for name in INTENSITIES if name not in names]
    pairs: list[str] = []
    for measurement in find_measurements(list(further)):
        target = pairs if measurement.kind == "pair" else names
        if measurement.kind == "track":
            raise SettingsError(
                "E-MEASUREMENT-NAME",
                f"{measurement.name} measures tracks.",
                cure="Leave it out: every time-lapse has it in tracks.csv.",
            )
        if measurement.name not in target:
            target.append(measurement.name)
    return tuple(names), tuple(pairs)


def _engine(inference: InferenceSettings) -> dict[str, str | int]:
    """What computes a model here; bf16 is given up where the model's self-test shows that it is not exact enough."""
    from tomocyte.networks.engine import describe_engine

    description = describe_engine(inference.engine, device=inference.device, precision=inference.precision)
    # The number of threads depends on the workers; results do not.
    return {name: description[name] for name in ("engine", "device", "precision", "version")}


def _confidence(card: ModelCard | None, settings: RunSettings) -> ConfidenceMethod:
    """What ``auto`` means here."""
    method, is_map_written = settings.uncertainty.method, settings.uncertainty.is_map_written
    if card is None and (is_map_written or method not in ("auto", "none")):
        raise SettingsError(
            "E-UNCERTAINTY", "the classical engine does not know how sure it is.", cure="Give a trained --model."
        )
    if method != "auto":
        return method
    is_known = card is not None and card.dimensions == 3 and bool(card.calibration)
    return "single" if is_known or is_map_written else "none"


def _use_of_channels(
    volume: Volume, settings: RunSettings, segmented: int, card: ModelCard | None, cascade: PlannedCascade | None
) -> str:
    """Which of several channels is segmented or drawn, or which ones networks see."""
    if cascade is not None:
        seen = [name for step in cascade.cascade.steps for name in step.inputs if name not in cascade.made]
        who = cascade.cascade.name
    else:
        seen = [] if card is None else [volume.channels[index] for index in model_channels(card, volume, segmented)]
        who = "" if card is None else card.name
    if who and seen != [volume.channels[segmented]]:
        derived = modality(settings.modality).derived_channels
        stored = [name for name in volume.channels if name not in derived] or volume.channels
        return f"{who} sees {' and '.join(dict.fromkeys(seen))}, from {' and '.join(stored)}; all are measured."
    done = "drawn" if settings.model == MASKS else "segmented"
    of = ", ".join(volume.channels)
    return f"{volume.channels[segmented]} of {of} is {done}, all are measured; choose with --channel."


def _volume_notices(volume: Volume, settings: RunSettings, channels: str, is_grey: bool) -> tuple[Notice, ...]:
    notices = [Notice.parse(note) for note in volume.notes]
    if volume.n_channels > 1:
        notices.append(Notice("W-CHANNEL", channels))
    if volume.is_simulated:
        notices.append(Notice("W-SIMULATED", "this input is simulated, not measured."))
    if is_grey:
        text = (
            "its values are grey values of an arbitrary scale, not 1/um, and so are the columns of intensity; "
            "--lac-from-beads or --lac-per-um gives them the scale."
        )
        notices.append(Notice("W-GREY-VALUES", text))
    notices += pixel_notices(volume, modality(settings.modality))
    if settings.is_forced:
        notices.append(Notice("W-FORCED", "the checks of the modality were overridden with --force."))
    return tuple(notices)


def pixel_notices(volume: Volume, kind: Modality) -> list[Notice]:
    """What a user must know of a pixel size that images of a modality do not have."""
    if kind.usual_pixel_um is None or volume.voxel_size_um is None:
        return []
    low, high = kind.usual_pixel_um
    _, y, x = volume.voxel_size_um
    if low <= min(y, x) and max(y, x) <= high:
        return []
    text = (
        f"pixels of {y:g} x {x:g} um; {kind.name} images have {low:g} to {high:g} um. Sizes, volumes and what a model "
        "finds depend on it: if it is that of the camera, not divided by the magnification, give --voxel-size-um Z Y X."
    )
    return [Notice("W-PIXEL-SIZE", text)]
