"""Label images without an image: a voxel is the number of the object that it belongs to; only forms are measured."""

from __future__ import annotations

from tomocyte.modalities._modality import SOLID_GEOMETRY, Modality, Normalization
from tomocyte.segmentation.settings import SegmentationSettings
from tomocyte.structures import structures

MODALITY = Modality(
    name="labels",
    description="label images or masks alone, for `tomocyte measure`: sizes and forms, nothing of an image",
    quantity="labels",
    unit="1",
    channels=("labels",),
    plausible_range=(0.0, 1e19),
    plausible_median=(0.0, 1e19),
    hint="Give label images: whole numbers from 0.",
    normalization=Normalization("label-numbers", offset=0.0, scale=1.0),
    structures=structures("cell", "nucleus", "nucleolus", "lipid_droplet"),
    segmentation=SegmentationSettings(),
    measurements=SOLID_GEOMETRY[:-2],
)
