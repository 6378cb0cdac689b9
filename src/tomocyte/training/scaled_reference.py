"""What a scaled frame takes from the training data: a shape that patches fill, and the grey values of the first volume.

To take the values from another volume, change :func:`with_scaled_frame`.
"""

from __future__ import annotations

from tomocyte.datasets.labelled import LabelledItem
from tomocyte.segmentation.prediction.scaled_frame import fitted_shape, moments, scaled_image
from tomocyte.training.data.grid_samples import frame_values
from tomocyte.training.recipe import Recipe


def with_scaled_frame(recipe: Recipe, items: list[LabelledItem]) -> Recipe:
    """The recipe with a fitting shape of ``data.scaled_frame`` and the first volume's mean and deviation where empty.

    Parameters
    ----------
    recipe : Recipe
    items : list of LabelledItem
        Training images, in their order.
    """
    frame, patch = recipe.data.scaled_frame, recipe.data.patch_shape
    if frame is None or patch is None or not items:
        return recipe
    z, y, x = fitted_shape(frame.shape, patch, frame.stride)
    frame = frame.model_copy(update={"shape": (z, y, x)})
    if frame.mean is None:
        image = items[0].open_image()
        mean, sd = moments(scaled_image(frame_values(items[0], image.n_channels, 0), frame))
        frame = frame.model_copy(update={"mean": mean, "sd": sd})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"scaled_frame": frame})})
