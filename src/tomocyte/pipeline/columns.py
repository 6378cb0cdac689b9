"""What the columns of a table of objects mean that are not measurements.

To add a column, describe it here; :func:`object_columns` is what the data dictionary of a run is made from.
"""

from __future__ import annotations

from tomocyte.measurements import measurements
from tomocyte.measurements.spatial import CONTACT_COLUMNS
from tomocyte.tables import LEADING, Column
from tomocyte.tracking import FLAGS, TRACK_COLUMNS

NOT_BY_MODEL = "Empty for structures that the trained model does not find itself."
NO_INTERVAL = (
    "Empty where the model was not calibrated on enough objects of the structure with this estimator, or the value is "
    "unknown."
)
INTERVAL = "the 90 % interval"
CONTAINS = (
    ": errors of mask, missing frequencies, noise and background are in it, errors of α and of the medium's absolute "
    "index are not."
)
CONFORMAL = "doi:10.1080/01621459.2017.1307116"

PLACE = (
    Column(
        "is_cut",
        "",
        "Whether the object touches a border of the volume, or of its values (NaN all around): sizes are "
        "then lower bounds.",
        kind="boolean",
    ),
    Column("is_cut_lateral", "", "Whether it touches a y or x border, or NaN around the field.", kind="boolean"),
    Column("is_cut_z", "", "Whether it touches the first or last plane; false for planar images.", kind="boolean"),
    Column("z_um", "µm", "Centre along z; voxel 0 lies at 0 µm.", "Empty for planar images."),
    Column("y_um", "µm", "Centre along y; voxel 0 lies at 0 µm."),
    Column("x_um", "µm", "Centre along x; voxel 0 lies at 0 µm."),
)
"""Where an object lies and whether the field cuts it."""
MEDIUM = (Column("medium_ri", "1", "Refractive index of the medium that was used.", "Empty when it is not known."),)
CONE = "doi:10.1364/OE.23.016933"
ROUSSET = "Rousset et al. 1998, J Nucl Med 39:904"
ESTIMATOR = (
    "matrix (index of all parts of the field fitted to the frequencies that the instrument measured), column (sum over "
    "all of z above the cell) or in-mask (as …_in_mask)."
)
MISSING_CONE = (
    Column("mean_ri_in_mask", "1", "Mean of the tomogram over the mask, without correction.", "", CONE),
    Column(
        "concentration_mg_per_ml_in_mask",
        "mg/mL",
        "Mean dry-mass concentration, from mean_ri_in_mask.",
        "Empty without the medium's refractive index or α.",
        CONE,
    ),
    Column(
        "dry_mass_pg_in_mask",
        "pg",
        "Dry mass, the sum over the voxels of the mask, without correction.",
        "Empty without the medium's refractive index or α.",
        CONE,
    ),
    Column("mean_ri_estimator", "", f"How mean_ri and concentration were found: {ESTIMATOR}", "", ROUSSET, kind="text"),
    Column("dry_mass_pg_estimator", "", f"How the dry mass was found: {ESTIMATOR}", "", ROUSSET, kind="text"),
)
"""Tomograms corrected for their missing frequencies, and what they were before."""
ABSORPTION = (
    Column(
        "mean_lac_per_um_uncertainty",
        "1/µm",
        "Standard uncertainty of mean_lac_per_um that comes from the scale: the standard deviation over the beads that "
        "gave it, as a share of their contrast, times the object's.",
        "Empty with fewer than two beads, and where no beads gave the scale.",
    ),
)
"""Soft X-ray tomograms whose scale the beads gave."""
CELLS = (
    Column(
        "flags",
        "",
        "What is unusual about a cell: no-nucleus, two-nuclei, nucleus-outside (most of its nucleus lies outside the "
        "mask of all cells), touches-border (cut by a y or x border); several are joined by semicolons.",
        "Empty for other structures and for cells with nothing unusual.",
        kind="text",
    ),
    Column(
        "cell_confidence",
        "1",
        "Mean probability of the cell-by-cell network inside a cell, minus the mean of the highest probability that "
        "the nucleus of any other cell has there: how clearly the cell is separated from its neighbours.",
        "Empty for other structures, for cells without a nucleus, and where no network separated cells.",
        "doi:10.1101/2021.05.23.445351",
    ),
)
"""Cells separated by a network or a watershed."""
CORRECTIONS = (
    Column(
        "edited", "", "Corrections by hand that changed this object, in their order.", "Empty when none did.",
        kind="text",
    ),
)  # fmt: skip
CONFIDENCE = (
    Column(
        "confidence",
        "1",
        "Overlap (intersection over union) with the true object, as expected from the model's calibrated "
        "probabilities.",
        NOT_BY_MODEL,
        "arXiv:2402.10665",
    ),
    *(
        Column(
            f"{name}_{end}",
            unit,
            f"{which} end of {INTERVAL} of the object's own {meaning}: errors of the mask are in it, and that missing "
            "frequencies draw it out along z.",
            NO_INTERVAL,
            CONFORMAL,
        )
        for name, unit, meaning in (
            ("volume_um3", "µm³", "volume"),
            ("surface_area_um2", "µm²", "surface"),
            ("height_um", "µm", "height"),
        )
        for end, which in (("low", "Lower"), ("high", "Upper"))
    ),
    *(
        Column(
            f"{name}_{end}",
            unit,
            f"{which} end of {INTERVAL} of the object's own {meaning}{CONTAINS}",
            NO_INTERVAL,
            CONFORMAL,
        )
        for name, unit, meaning in (
            ("mean_ri", "1", "mean refractive index"),
            ("concentration_mg_per_ml", "mg/mL", "concentration"),
            ("dry_mass_pg", "pg", "dry mass"),
        )
        for end, which in (("low", "Lower"), ("high", "Upper"))
    ),
    Column(
        "disagreement",
        "1",
        "Standard deviation of the probability between flips or models, summed over the object and its surroundings, "
        "per voxel of the object.",
        NOT_BY_MODEL,
    ),
)
"""How sure a trained model is of an object."""


def object_columns() -> tuple[Column, ...]:
    """Every column that a table of objects may have, measurements included."""
    measured = (one.column for one in measurements("object").values())
    return (*LEADING, *measured, *PLACE, *MEDIUM, *ABSORPTION, *MISSING_CONE, *CELLS, FLAGS, *CORRECTIONS, *CONFIDENCE)


PAIR = (
    Column("other_structure", "", "What the other object of the pair is.", kind="text"),
    Column("other_label", "1", "Number of the other object in the label image of its structure.", kind="integer"),
)
"""The other object of a pair."""


def pair_columns() -> tuple[Column, ...]:
    """Every column that a table of pairs may have, measurements included."""
    return (*LEADING, *PAIR, *(one.column for one in measurements("pair").values()))


def contact_columns() -> tuple[Column, ...]:
    """Every column of a table of contacts."""
    leading = [column for column in LEADING if column not in CONTACT_COLUMNS]
    return (*leading, *CONTACT_COLUMNS)


def track_columns() -> tuple[Column, ...]:
    """Every column that a table of tracks may have, measurements included."""
    own = [column for column in TRACK_COLUMNS if column not in LEADING]
    return (*LEADING, *own, *(one.column for one in measurements("track").values()))
