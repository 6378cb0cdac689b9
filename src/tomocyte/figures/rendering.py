"""Bodies in three dimensions: nuclei inside cells as shaded surfaces, drawn without a graphics card.

Each mask becomes triangles (:func:`surface_mesh`), all triangles of a panel are sorted by depth together, so that what
lies behind something transparent shows through. To draw another kind of body, give it a :class:`Body`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomocyte.errors import SettingsError
from tomocyte.figures.canvas import DPI, PictureFormat, defaults, drawable, picture
from tomocyte.figures.marks import scale_bar_um
from tomocyte.volume import VoxelSize, check_voxel_size

Float = NDArray[np.float64]

TRUTH_BODY_COLOUR = "#B79CED"
"""Light purple, as in Fig. 3b of the OS-Net paper."""
PREDICTION_BODY_COLOUR = "#FFE680"
"""Light yellow, as there."""
CELL_BODY_COLOUR = "#B8CAD6"
CELL_OPACITY = 0.1
"""Of a cell around a nucleus."""
_LIGHT = np.array([0.85, 0.3, -0.45])
_AMBIENT = 0.55
_PANEL_INCHES = 3.4
_TURNING_SIDE = 96
_FINE_SMOOTHING_UM = 0.2
_FINE_SIDE = 224
_TRIANGLES_OF_A_FILM = 120_000
_SAMPLES = 2
"""Drawn pixels along each side of a pixel of a film: edges are smooth, and seams between triangles are not seen."""
_TURNING_ELEVATION = 28.0
_TURNING_ZOOM = 0.9


@dataclass(frozen=True, eq=False)
class Body:
    """One body of a panel.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool or integer (non-zero = inside)
    colour : str
        ``#RRGGBB``.
    opacity : float in (0, 1]
    paint : tuple of (ndarray (Z, Y, X), bool, and str)
        Parts of the mask whose surface has a colour of its own, ``#RRGGBB``; the last counts.
    """

    mask: NDArray[Any]
    colour: str
    opacity: float = 1.0
    paint: tuple[tuple[NDArray[np.bool_], str], ...] = ()


@dataclass(frozen=True, eq=False)
class BodyPanel:
    """One view: bodies of one grid, and its caption.

    Parameters
    ----------
    bodies : tuple of Body
    caption : str
    frame_um : ndarray (3, 2), float, optional
        A box drawn around a part: first and last z, y, x in µm.
    is_close_up : bool
        Whether the view has limits of its own instead of those of the others.
    """

    bodies: tuple[Body, ...]
    caption: str = ""
    frame_um: Float | None = None
    is_close_up: bool = False


def surface_mesh(
    mask: NDArray[Any], voxel_size_um: VoxelSize, *, smoothing_um: float = 0.45, largest_side: int = 56
) -> tuple[Float, NDArray[np.int64]]:
    """Triangles around a mask, from the mask smoothed and at reduced size; closed where the border cuts it.

    Parameters
    ----------
    mask : ndarray (Z, Y, X), bool or integer (non-zero = inside)
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    smoothing_um : float
        Gaussian sigma in µm; it moves a surface of radius R inwards by sigma²/R.
    largest_side : int
        Voxels along the longest side after the reduction, about.

    Returns
    -------
    vertices_um : ndarray (n, 3), float64
        z, y, x in µm; the outer corner of the first voxel is the origin.
    faces : ndarray (m, 3), int64
        Three vertices each; (0, 3) for an empty mask.

    Raises
    ------
    SettingsError
        ``E-SHAPE``: no volume.
    MetadataError
        ``E-VOXEL-SIZE``.

    References
    ----------
    Lewiner et al., J. Graph. Tools 8(2), 1 (2003), doi:10.1080/10867651.2003.10487582.

    Examples
    --------
    >>> vertices, faces = surface_mesh(np.ones((4, 5, 6)), (0.3, 0.2, 0.1))
    >>> vertices.shape[1], faces.shape[1]
    (3, 3)
    """
    from scipy import ndimage
    from skimage.measure import block_reduce, marching_cubes

    if mask.ndim != 3:
        raise SettingsError("E-SHAPE", f"a body is a volume Z, Y, X, not {mask.shape}.")
    check_voxel_size(voxel_size_um)
    inside = np.asarray(mask) != 0
    if not inside.any():
        return np.zeros((0, 3)), np.zeros((0, 3), np.int64)
    box = ndimage.find_objects(inside.astype(np.uint8))[0]
    part = inside[box].astype(np.float32)
    sizes = np.asarray(voxel_size_um, np.float64)
    target = float(np.max(part.shape * sizes)) / largest_side
    factors = np.maximum(1, np.round(target / sizes)).astype(int)
    part = block_reduce(part, tuple(int(factor) for factor in factors), np.mean)
    steps = sizes * factors
    margin = np.ceil(3 * smoothing_um / steps).astype(int) + 1
    part = np.pad(part, [(int(n), int(n)) for n in margin])
    part = ndimage.gaussian_filter(part, [smoothing_um / step for step in steps])
    level = min(0.5, float(part.max()) / 2)
    vertices, faces, _, _ = marching_cubes(part, level, spacing=tuple(steps))
    corner = np.array([side.start for side in box]) * sizes
    return vertices - (margin - 0.5) * steps + corner, np.asarray(faces, np.int64)


def body_figure(
    panels: Sequence[BodyPanel],
    voxel_size_um: VoxelSize,
    *,
    n_columns: int = 3,
    title: str = "",
    view_deg: tuple[float, float] = (28.0, -60.0),
    smoothing_um: float = 0.45,
    largest_side: int = 56,
    file_format: PictureFormat = "png",
) -> bytes:
    """Panels of shaded surfaces, all seen from the same side and, but for close-ups, at the same scale.

    Parameters
    ----------
    panels : sequence of BodyPanel
        At least one, all of one grid.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    n_columns : int >= 1
    title : str
        Above everything; say there that data are simulated.
    view_deg : tuple of 2 float
        Elevation and azimuth of the eye; z points up.
    smoothing_um, largest_side
        As :func:`surface_mesh`.
    file_format : {"png", "pdf", "svg"}

    Returns
    -------
    bytes

    Raises
    ------
    SettingsError
        ``E-SHAPE``: no panel, or bodies of different grids.
    """
    shapes = {body.mask.shape for panel in panels for body in panel.bodies}
    if len(shapes) != 1:
        raise SettingsError("E-SHAPE", f"bodies must be of one grid Z, Y, X, not {sorted(shapes)}.")
    detail: dict[str, Any] = {"smoothing_um": smoothing_um, "largest_side": largest_side}
    meshes = [[surface_mesh(body.mask, voxel_size_um, **detail) for body in panel.bodies] for panel in panels]
    shape = shapes.pop()
    shown = zip(panels, meshes, strict=True)
    common = [vertices for panel, parts in shown if not panel.is_close_up for vertices, _ in parts]
    limits = _limits(common, shape, voxel_size_um)
    n_columns = min(n_columns, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    with defaults():
        from matplotlib.figure import Figure

        size = n_columns * _PANEL_INCHES, n_rows * _PANEL_INCHES * 0.82 + 0.3
        figure = Figure(figsize=size, dpi=DPI, facecolor="white", layout="constrained")
        if title:
            figure.suptitle(drawable(title), fontsize=10, fontweight="bold", parse_math=False)
        for number, (panel, parts) in enumerate(zip(panels, meshes, strict=True)):
            axes: Any = figure.add_subplot(n_rows, n_columns, number + 1, projection="3d")
            _draw_bodies(axes, panel, parts, voxel_size_um)
            own = _limits([vertices for vertices, _ in parts], shape, voxel_size_um) if panel.is_close_up else limits
            _finish(axes, *own, view_deg)
            axes.set_title(drawable(panel.caption), fontsize=9, y=0.94, parse_math=False)
        return picture(figure, file_format)


def turning_pictures(
    panel: BodyPanel, voxel_size_um: VoxelSize, *, n_views: int = 36, largest_side: int = 640
) -> Iterator[NDArray[np.uint8]]:
    """One view after the other of a full turn about z, each as an array, for films.

    Parameters
    ----------
    panel : BodyPanel
        At least one body; its caption stands on every view.
    voxel_size_um : tuple of 3 float
        z, y, x in µm.
    n_views : int
    largest_side : int
        Pixels of a side of the square view.

    Yields
    ------
    ndarray (rows, columns, 3), uint8
        The axes carry µm; without perspective, so that the scale bar holds everywhere.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [film_mesh(body.mask, voxel_size_um) for body in panel.bodies]
    shape: tuple[int, ...] = panel.bodies[0].mask.shape
    low, high = _limits([vertices for vertices, _ in parts], shape, voxel_size_um)
    with defaults():
        side = largest_side / DPI
        figure = Figure(figsize=(side, side), dpi=DPI * _SAMPLES, facecolor="white")
        canvas: Any = FigureCanvasAgg(figure)
        axes: Any = figure.add_axes((0, 0, 1, 0.96), projection="3d", proj_type="ortho")
        _draw_bodies(axes, panel, parts, voxel_size_um)
        figure.text(0.02, 0.97, drawable(panel.caption), fontsize=10, va="top", parse_math=False)
        for number in range(n_views):
            _finish(axes, low, high, (_TURNING_ELEVATION, -60.0 + 360.0 * number / n_views), zoom=_TURNING_ZOOM)
            if number == 0:
                _add_scale_bar(figure, axes, (low + high) / 2)
            canvas.draw()
            yield _reduced(np.asarray(canvas.buffer_rgba())[..., :3])


def film_mesh(mask: NDArray[Any], voxel_size_um: VoxelSize) -> tuple[Float, NDArray[np.int64]]:
    """Triangles for films: fine ones, which small objects need, unless there are too many of them.

    Parameters and results as :func:`surface_mesh`.
    """
    fine = surface_mesh(mask, voxel_size_um, smoothing_um=_FINE_SMOOTHING_UM, largest_side=_FINE_SIDE)
    if len(fine[1]) <= _TRIANGLES_OF_A_FILM:
        return fine
    return surface_mesh(mask, voxel_size_um, largest_side=_TURNING_SIDE)


def _add_scale_bar(figure: Any, axes: Any, middle: Float) -> None:
    """A bar in the lower left corner: as long as that length across the line of sight, wherever it lies."""
    from matplotlib.lines import Line2D
    from mpl_toolkits.mplot3d.proj3d import proj_transform  # type: ignore[import-untyped]

    z, y, x = middle
    projection = axes.get_proj()
    ends = [axes.transData.transform(proj_transform(x, y, height, projection)[:2]) for height in (z, z + 1)]
    # A length along z is seen shortened by the elevation of the eye.
    px_per_um = float(np.hypot(*(ends[1] - ends[0]))) / math.cos(math.radians(_TURNING_ELEVATION))
    width_px = float(figure.bbox.width)
    length_um = scale_bar_um(width_px / px_per_um)
    left, right = 0.03, 0.03 + length_um * px_per_um / width_px
    figure.add_artist(Line2D([left, right], [0.035, 0.035], color="black", linewidth=3, solid_capstyle="butt"))
    figure.text(left, 0.045, f"{length_um:g} µm", fontsize=9, va="bottom")


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with the mean of every few pixels instead of these."""
    rows, columns = (side // _SAMPLES for side in picture.shape[:2])
    parts = picture[: rows * _SAMPLES, : columns * _SAMPLES].reshape(rows, _SAMPLES, columns, _SAMPLES, 3)
    means: NDArray[np.uint8] = parts.mean(axis=(1, 3)).round().astype(np.uint8)
    return means


def _limits(parts: list[Float], shape: tuple[int, ...], voxel_size_um: VoxelSize) -> tuple[Float, Float]:
    points = np.concatenate(parts) if parts else np.zeros((0, 3))
    if not len(points):
        return np.zeros(3), np.asarray(shape) * np.asarray(voxel_size_um)
    return points.min(axis=0), points.max(axis=0)


def _draw_bodies(
    axes: Any, panel: BodyPanel, parts: list[tuple[Float, NDArray[np.int64]]], voxel_size_um: VoxelSize
) -> None:
    """All triangles in one collection, because only within one are they sorted by depth."""
    from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection  # type: ignore[import-untyped]

    triangles, colours = [], []
    for body, (vertices, faces) in zip(panel.bodies, parts, strict=True):
        corners = vertices[faces]  # (m, 3 corners, zyx)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        slope = np.abs((normals / np.maximum(lengths, 1e-12)) @ (_LIGHT / np.linalg.norm(_LIGHT)))
        shade = np.minimum(_AMBIENT + 1.2 * (1 - _AMBIENT) * slope, 1)[:, np.newaxis]
        opacity = np.full((len(faces), 1), body.opacity)
        colours.append(np.hstack([_face_colours(body, corners, voxel_size_um) * shade, opacity]))
        triangles.append(corners[..., ::-1])
    faces_rgba = np.concatenate(colours)
    if len(faces_rgba):
        collection = Poly3DCollection(
            np.concatenate(triangles), facecolors=faces_rgba, edgecolors="none", antialiased=False
        )
        axes.add_collection3d(collection)
    if panel.frame_um is not None:
        axes.add_collection3d(Line3DCollection(box_edges(panel.frame_um)[..., ::-1], colors="black", linewidths=1.2))


def _face_colours(body: Body, corners: Float, voxel_size_um: VoxelSize) -> Float:
    """Colour of every triangle (m, 3): that of the painted part to which the nearest voxel of the mask belongs."""
    from matplotlib.colors import to_rgb
    from scipy import ndimage, spatial

    rgb = np.broadcast_to(to_rgb(body.colour), (len(corners), 3)).astype(np.float64)
    if not body.paint or not len(corners):
        return rgb
    inside = np.asarray(body.mask) != 0
    rim = np.argwhere(inside & ~ndimage.binary_erosion(inside))
    tree = spatial.cKDTree((rim + 0.5) * np.asarray(voxel_size_um))
    nearest = tuple(rim[tree.query(corners.mean(axis=1))[1]].T)
    for mask, colour in body.paint:
        rgb[mask[nearest]] = to_rgb(colour)
    return rgb


def box_edges(frame_um: Float) -> Float:
    """The twelve edges of a box given by its first and last z, y, x: (12, 2, 3)."""
    corners = np.array(np.meshgrid(*frame_um, indexing="ij")).reshape(3, 8).T
    pairs = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]
    edges: Float = corners[np.array(pairs)]
    return edges


def _finish(axes: Any, low: Float, high: Float, view_deg: tuple[float, float], *, zoom: float = 1.15) -> None:
    axes.set(xlim=(low[2], high[2]), ylim=(high[1], low[1]), zlim=(low[0], high[0]))
    axes.set_box_aspect(tuple(np.maximum(high - low, 1e-6)[::-1]), zoom=zoom)
    axes.view_init(elev=view_deg[0], azim=view_deg[1])
    axes.set_xlabel("x (µm)", fontsize=7, labelpad=-6)
    axes.set_ylabel("y (µm)", fontsize=7, labelpad=-6)
    axes.set_zlabel("z (µm)", fontsize=7, labelpad=-6)
    axes.tick_params(labelsize=6, pad=-3)
    axes.locator_params(nbins=5)
