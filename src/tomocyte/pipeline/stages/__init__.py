"""The stages of an analysis, one file each; the plan names them, the analysis applies them in order.

To add one, write ``stages/<name>.py`` with a class ``<Name>Stage`` and name it below, in its place on the road.
"""

from __future__ import annotations

from tomocyte.pipeline.stage import Stage
from tomocyte.pipeline.stages.absorption import AbsorptionStage
from tomocyte.pipeline.stages.bodies import BodiesStage
from tomocyte.pipeline.stages.cascade import CascadeStage
from tomocyte.pipeline.stages.cells import CellsStage
from tomocyte.pipeline.stages.channels import ChannelsStage
from tomocyte.pipeline.stages.classical import ClassicalStage
from tomocyte.pipeline.stages.colocalisation import ColocalisationStage
from tomocyte.pipeline.stages.confidence import ConfidenceStage
from tomocyte.pipeline.stages.contacts import ContactsStage
from tomocyte.pipeline.stages.corrections import CorrectionsStage
from tomocyte.pipeline.stages.draw import DrawStage
from tomocyte.pipeline.stages.masks import MasksStage
from tomocyte.pipeline.stages.measure import MeasureStage
from tomocyte.pipeline.stages.missing_cone import MissingConeStage
from tomocyte.pipeline.stages.model import ModelStage
from tomocyte.pipeline.stages.organelles import OrganellesStage
from tomocyte.pipeline.stages.plausibility import PlausibilityStage
from tomocyte.pipeline.stages.refine import RefineStage
from tomocyte.pipeline.stages.repair import RepairStage
from tomocyte.pipeline.stages.tracking import TrackingStage

__all__ = ["STAGES"]

STAGES: dict[str, type[Stage]] = {
    stage.name: stage
    for stage in (
        ChannelsStage,
        MasksStage,
        ModelStage,
        CascadeStage,
        BodiesStage,
        CellsStage,
        ClassicalStage,
        RefineStage,
        CorrectionsStage,
        RepairStage,
        AbsorptionStage,
        MeasureStage,
        MissingConeStage,
        ContactsStage,
        OrganellesStage,
        ColocalisationStage,
        PlausibilityStage,
        ConfidenceStage,
        TrackingStage,
        DrawStage,
    )
}
"""Every stage, in the order of the road; a plan leaves out those that have nothing to do."""
