"""The integer type of labels."""

from __future__ import annotations

import numpy as np
import pytest

from tomocyte.errors import ResourceError, SettingsError
from tomocyte.labels.dtypes import label_dtype, refit


@pytest.mark.parametrize(("largest", "dtype"), [(0, "u1"), (255, "u1"), (256, "u2"), (65_535, "u2"), (65_536, "u4")])
def test_smallest_type(largest: int, dtype: str) -> None:
    assert np.dtype(label_dtype(largest)) == np.dtype(dtype)
    labels = np.array([0, largest], dtype=np.uint32)
    assert refit(labels).dtype == np.dtype(dtype)
    assert refit(labels).tolist() == [0, largest]
    assert refit(np.array([0], np.uint8), largest).dtype == np.dtype(dtype)


def test_types_that_are_no_labels() -> None:
    with pytest.raises(ResourceError, match="E-LABELS"):
        label_dtype(2**32)
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        refit(np.array([0.5]))
    with pytest.raises(SettingsError, match="E-LABELS-TYPE"):
        refit(np.array([-1]))
