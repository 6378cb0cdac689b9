"""How a model's outputs become objects: which outputs are structures, with which thresholds and sizes.

An output called ``<structure>_core`` is the core of that structure and tells touching objects apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tomocyte.labels.settings import CleanSettings, SplitSettings, required
from tomocyte.modalities import modality
from tomocyte.models.card import ModelCard
from tomocyte.models.settings import InferenceSettings
from tomocyte.segmentation.settings import InstanceSettings
from tomocyte.structures import CELL, NUCLEUS, canonical_name, find_name
from tomocyte.structures import structure as registry_entry

CORE = "_core"
BACKGROUND = "background"


@dataclass(frozen=True)
class ObjectRules:
    """How objects are made of a model's probabilities in a run.

    Parameters
    ----------
    inference : InferenceSettings
    clean, split : CleanSettings, SplitSettings
        Which hold for the main objects.
    main : str
        What the main objects are called in the run; a structure of this name on the card is the cell.
    """

    inference: InferenceSettings
    clean: CleanSettings
    split: SplitSettings
    main: str = "cell"

    def canonical(self, card: ModelCard, structure: str) -> str:
        """The name inside a run of a structure of the card: the registered one, and the main one is called ``cell``."""
        name = canonical_structures(card).get(structure, structure)
        return CELL if name == self.main else name

    def of(self, card: ModelCard, structure: str) -> InstanceSettings:
        """How a structure becomes objects: as the user says, else by the card's threshold and usual sizes."""
        chosen = find_name(structure, self.inference.instances)
        if chosen is not None:
            return self.inference.instances[chosen]
        name = self.canonical(card, structure)
        is_main = name == CELL
        # A share of axes is not a probability: more than half of them must say yes.
        threshold = 0.5 if self.inference.vote == "majority" else card.threshold_of(structure)
        entry = registry_entry(structure)
        has_core = structure + CORE in card.structures
        is_split = (is_main or (name == NUCLEUS and card.dimensions == 3)) and not has_core
        return InstanceSettings(
            threshold=threshold,
            core_threshold=card.threshold_of(structure + CORE) if has_core else 0.5,
            min_volume_um3=required(self.clean.min_volume_um3) if is_main else entry.smallest_um3,
            min_area_um2=required(self.clean.min_area_um2) if is_main else entry.smallest_um2,
            is_hole_filled=self.clean.is_hole_filled if is_main else entry.is_solid,
            is_border_cleared=self.clean.is_border_cleared if is_main else False,
            split=self.split if is_split else SplitSettings(method="none"),
        )

    def of_all(self, card: ModelCard) -> dict[str, InstanceSettings]:
        """:meth:`of` every structure of a card."""
        return {structure: self.of(card, structure) for structure in structures_of(card)}


def structures_of(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """The structures that become objects, each with its output and, where there is one, that of its core.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> structures_of(SimpleNamespace(structures=("background", "cell", "cell_core", "nucleus")))
    {'cell': (1, 2), 'nucleus': (3,)}
    """
    index = {name: output for output, name in enumerate(card.structures)}
    outputs: dict[str, tuple[int, ...]] = {}
    for name, output in index.items():
        is_core = name.endswith(CORE) and name.removesuffix(CORE) in index
        if name != BACKGROUND and not is_core:
            outputs[name] = (output, index[name + CORE]) if name + CORE in index else (output,)
    return outputs


def canonical_structures(card: ModelCard) -> dict[str, str]:
    """The structures that become objects, each with its registered name.

    An alias stays what it is where another output of the card is the same structure.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> canonical_structures(SimpleNamespace(structures=("background", "membrane", "nuclei", "nuclei_core")))
    {'membrane': 'cell', 'nuclei': 'nucleus'}
    >>> canonical_structures(SimpleNamespace(structures=("cell", "membrane")))
    {'cell': 'cell', 'membrane': 'membrane'}
    """
    names = {name: canonical_name(name) for name in structures_of(card)}
    canonical = list(names.values())
    return {name: one if canonical.count(one) == 1 else name for name, one in names.items()}


def exclusive_outputs(card: ModelCard) -> tuple[tuple[int, ...], ...]:
    """Groups of a card's outputs that the modality says cannot be at one place; empty where outputs share out anyway.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> names = ("golgi", "cytosol", "nuclei", "lysosome", "nucleolus")
    >>> exclusive_outputs(SimpleNamespace(activation="sigmoid", modality="nile_red", structures=names))
    ((1, 2),)
    """
    if card.activation != "sigmoid":
        return ()
    outputs = {canonical_name(name): numbers[0] for name, numbers in structures_of(card).items() if len(numbers) == 1}
    groups = (
        tuple(sorted(outputs[name] for name in group if name in outputs)) for group in modality(card.modality).exclusive
    )
    return tuple(group for group in groups if len(group) > 1)


def finds_space_only(card: ModelCard) -> bool:
    """Whether a model finds the space between cells, but no cells: then the cells are what is left.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> finds_space_only(SimpleNamespace(structures=("nucleus", "cytosol", "ECS")))
    True
    """
    names = set(canonical_structures(card).values())
    return "extracellular" in names and CELL not in names


def is_streamed(card: ModelCard, rules: Mapping[str, InstanceSettings]) -> bool:
    """Whether a model's structures can be thresholded as they come: 3-D, one output each, separated by shape."""
    from tomocyte.segmentation.prediction.objects import splits_masks
    from tomocyte.segmentation.prediction.streamed import MOST_OUTPUTS

    return (
        card.dimensions == 3
        and card.activation == "sigmoid"
        and len(card.structures) <= MOST_OUTPUTS
        and all(len(outputs) == 1 for outputs in structures_of(card).values())
        and all(splits_masks(settings) for settings in rules.values())
    )
