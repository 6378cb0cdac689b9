"""How sure a trained model is of a frame: further columns, maps beside the masks, a warning for unusual images.

Works for 3-D models whose probabilities are kept while they are streamed; flips and several models are in
:mod:`tomocyte.pipeline.members`. To give objects another column, add it to :meth:`Uncertainty.columns` and describe it
in :data:`tomocyte.pipeline.columns.CONFIDENCE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.labels.stack import LabelStack
from tomocyte.pipeline.members import Team, find_together, open_member, unfit
from tomocyte.pipeline.settings import RunSettings
from tomocyte.pipeline.structures import Found, FrameInput, OnTiles, find_structures
from tomocyte.pipeline.trained import TrainedModel
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.volume import Volume

if TYPE_CHECKING:
    import pandas as pd


Byte = NDArray[np.uint8]
COLUMNS = ("confidence", "volume_um3_low", "volume_um3_high", "dry_mass_pg_low", "dry_mass_pg_high")
MAP_UNIT = "bit/255"
MAP_QUANTITY = "predictive_entropy"


class Uncertainty:
    """What a run knows about how sure its model is; off for the classical engine.

    Parameters
    ----------
    model : TrainedModel or None
    settings : RunSettings

    Raises
    ------
    SettingsError
        ``E-UNCERTAINTY``: asked for where there is no 3-D model that can be streamed, or models that do not fit
        together.
    """

    def __init__(self, model: TrainedModel | None, settings: RunSettings) -> None:
        self.settings = settings
        self.model = model
        self.method = _settled_method(model, settings)
        self.others = tuple(open_member(name, model, settings) for name in settings.uncertainty.models)
        self.frame: FrameInput | None = None
        self.found: Found | None = None
        self.spread: Byte | None = None
        self.notes: list[str] = []
        if self.is_on and model is not None and not model.card.calibration:
            self.notes.append(
                f"W-MODEL-UNCALIBRATED: {model.card.name} was never calibrated: confidence is the network's own word, "
                "and there are no intervals. See `tomocyte models calibrate`."
            )

    @property
    def is_on(self) -> bool:
        """Whether anything is said at all."""
        return self.method != "none"

    def find(self, frame: FrameInput, engine: SegmentationSettings, *, report: OnTiles | None = None) -> Found:
        """As :func:`tomocyte.pipeline.structures.find_structures`, remembering the probabilities of the frame.

        Raises
        ------
        SettingsError
            ``E-UNCERTAINTY``: the frame cannot be streamed with these settings.
        """
        if self.model is None:
            return Found({})
        self.frame, self.found, self.spread = frame, None, None
        if self.method in ("none", "single"):
            found = find_structures(
                self.model, frame, self.settings, engine, keeps_probability=self.is_on, report=report
            )
        else:
            team = Team((self.model, *self.others), self.settings, engine)
            found, self.spread = find_together(team, frame, report=report)
        is_kept = found.masks is not None and found.masks.probability is not None
        is_asked = self.settings.uncertainty.method != "auto" or self.settings.uncertainty.is_map_written
        if self.is_on and is_asked and not is_kept:
            raise unfit(self.model.card.name)
        self.found = found if is_kept else None
        return found

    def columns(
        self,
        structure: str,
        objects: NDArray[Any],
        image: NDArray[np.float32],
        table: pd.DataFrame,
        *,
        medium: float | None,
    ) -> dict[str, NDArray[np.float64]]:
        """Confidence and intervals of the objects of a structure, in the table's order; NaN if the model knows none.

        Parameters
        ----------
        structure : str
            As in ``Found.labels``.
        objects : ndarray (Z, Y, X), unsigned integer
            Of the last frame, as they are measured.
        image : ndarray (Z, Y, X), float32
            What the dry mass is measured in.
        table : DataFrame
            With ``label``, and ``volume_um3`` and ``dry_mass_pg`` where they were measured.
        medium : float or None
            What the dry mass counts from.

        Returns
        -------
        dict of str to ndarray (n,), float64
            Nothing when nothing is known about the frame.
        """
        if self.found is None or self.model is None or self.frame is None:
            return {}
        names = COLUMNS if self.spread is None else (*COLUMNS, "disagreement")
        known = {name: np.full(len(table), np.nan) for name in names}
        if structure not in self.found.outputs or not len(table):
            return known
        from tomocyte.confidence.objects import interval, sum_over_objects
        from tomocyte.confidence.voxels import calibrated_levels

        size = self.frame.voxel_size_um
        probability = self.probability(structure)
        calibration = self.model.card.calibration.get(self._card_name(structure))
        sums = sum_over_objects(objects, probability, calibrated_levels(calibration), size, image=image, medium=medium)
        known["confidence"] = sums.confidence
        if calibration is not None:
            parts = {"volume_um3": (sums.volume_change(), calibration.volume)}
            parts["dry_mass_pg"] = (sums.mass_change(), calibration.dry_mass)
            for name, (change, ends) in parts.items():
                if name in table:
                    low, high = interval(table[name].to_numpy(np.float64), change, ends)
                    known |= {f"{name}_low": low, f"{name}_high": high}
        if self.spread is not None:
            spread = sum_over_objects(
                objects, self.spread[self.found.outputs[structure]], calibrated_levels(None), size
            )
            known["disagreement"] = (spread.inside + spread.near) / spread.n_voxels
        return known

    def probability(self, structure: str) -> Byte:
        """What the network said of a structure of the last frame, (z, y, x) uint8."""
        if self.found is None or self.found.masks is None or self.found.masks.probability is None:
            raise SettingsError("E-UNCERTAINTY", "no frame has been looked at.", cure="Call find first.")
        return np.asarray(self.found.masks.probability[self.found.outputs[structure]])

    def map_of(self, structure: str) -> Byte | None:
        """The doubt about a structure on the image's grid, (Z, Y, X) uint8, 255 = 1 bit; None where not asked for."""
        if self.found is None or self.found.masks is None or self.model is None:
            return None
        if structure not in self.found.outputs or not self.settings.uncertainty.is_map_written:
            return None
        from tomocyte.confidence.voxels import calibrated_levels, entropy_map

        calibration = self.model.card.calibration.get(self._card_name(structure))
        levels = calibrated_levels(calibration)
        return entropy_map(self.probability(structure), levels, self.found.masks.bits.shape)

    def domain_figures(self) -> dict[str, float] | None:
        """What :func:`tomocyte.confidence.typical_images.describe_domain` says of the last frame; None where it
        cannot."""
        if self.model is None or self.frame is None or self.found is None or self.found.masks is None:
            return None
        from tomocyte.confidence.typical_images import describe_domain, domain_window

        said, structures = self.found.masks.probability, self.model.card.structures
        if said is None:
            return None
        window = domain_window(said, structures)
        return describe_domain(as_seen(self.model, self.frame, said.shape[1:], window), said[:, *window], structures)

    def domain(self) -> dict[str, Any] | None:
        """Whether the last frame looks like the model's training images.

        Returns
        -------
        dict or None
            ``distance``, ``limit``, ``is_outside``, ``what`` (in words), ``figures``; None where nothing is known.
        """
        known = None if self.model is None else self.model.card.domain
        if known is None or (figures := self.domain_figures()) is None:
            return None
        from tomocyte.confidence.typical_images import describe_deviation, domain_distance

        distance = domain_distance(figures, known)
        return {
            "distance": distance,
            "limit": known.limit,
            "is_outside": distance > known.limit,
            "what": describe_deviation(figures, known),
            "figures": figures,
        }

    def judge(self, frame: int, facts: dict[str, Any]) -> list[str]:
        """Note in the facts how the frame compares with the training images; a warning where it is another kind."""
        if (found := self.domain()) is None or self.model is None:
            return []
        facts.setdefault("domain", []).append({"frame": frame, **found})
        if not found["is_outside"]:
            return []
        off = f"{found['distance'] / found['limit']:.2f} times as far off as the most unusual of its kind"
        return [
            f"W-MODEL-DOMAIN: frame {frame} is unlike the images that {self.model.card.name} was trained on ({off}): "
            f"{found['what']}. Look at the masks before using the numbers; intervals do not hold here."
        ]

    def _card_name(self, structure: str) -> str:
        """What the card calls a structure of the labels (the main one is called ``cell`` there)."""
        if self.model is None or self.found is None:
            return structure
        return self.model.card.structures[self.found.outputs[structure]]


def map_volume(stack: LabelStack, structure: str, **properties: Any) -> Volume:
    """The maps of all frames as a volume (T, 1, Z, Y, X) uint8 that says what its values are."""
    kept = stack.volume()

    def read_planes(frame: int, channel: int, z_start: int, z_stop: int) -> Byte:
        return kept.read_planes(frame, channel, z_start, z_stop).astype(np.uint8)

    return Volume(
        shape=kept.shape,
        dtype=np.dtype(np.uint8),
        read_planes=read_planes,
        quantity=MAP_QUANTITY,
        unit=MAP_UNIT,
        channel_names=(f"doubt about {structure}, 255 = 1 bit",),
        **properties,
    )


def as_seen(
    model: TrainedModel, frame: FrameInput, shape: tuple[int, ...], window: tuple[slice, slice, slice]
) -> NDArray[np.float32]:
    """A part of a frame's first channel as the network sees it: normalised, on the network's grid."""
    from tomocyte.segmentation.prediction.normalization import offset_and_scale
    from tomocyte.segmentation.prediction.streamed import ResampledSource

    image = frame.image[:1]
    how = offset_and_scale(image[0], model.card.normalization, medium_ri=frame.medium_ri)
    return np.asarray(ResampledSource(image, tuple(shape), (how,)).read(window)[0])


def _settled_method(model: TrainedModel | None, settings: RunSettings) -> str:
    """What ``auto`` means here."""
    asked = settings.uncertainty.method
    if asked == "auto" and (model is None or model.card.dimensions == 2 or not model.card.calibration):
        if settings.uncertainty.is_map_written:
            return "single" if model is not None else _refuse_classical()
        return "none"
    if asked not in ("auto", "none") and model is None:
        return _refuse_classical()
    return "single" if asked == "auto" else asked


def _refuse_classical() -> str:
    raise SettingsError(
        "E-UNCERTAINTY", "the classical engine does not know how sure it is.", cure="Give a trained --model."
    )
