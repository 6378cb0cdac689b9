"""Files that only a plugin of bioio reads.

Most tests use a small plugin that they register themselves, with the interface of ``bioio_base.reader.Reader`` as its
documentation gives it: bioio is no dependency, and no small free plugin has scenes, times and sizes. It reads a file of
JSON and lies about whatever the test tells it to. The last test uses the real plugin bioio-imageio where it is
installed.
"""

from __future__ import annotations

import json
import math
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tomocyte.cli import app
from tomocyte.errors import InputError, MetadataError
from tomocyte.formats import ReadOptions, _plugins, detect, formats, read_volume

PLUGIN = '''
import json
from datetime import timedelta
from types import SimpleNamespace
import numpy as np

SLICED = []

class OwnError(Exception):
    """What no library of tomocyte raises."""

class Lazy:
    """Of a dask array what a reader of planes needs."""
    def __init__(self, said, index=None):
        self.said, self.index = said, index
        self.shape, self.dtype = tuple(said["shape"]), np.dtype(said.get("dtype", "uint16"))
    def __getitem__(self, index):
        return Lazy(self.said, index)
    def compute(self, scheduler):
        if self.said.get("fails"):
            raise OwnError("bad block\\nsecond line")
        whole = (np.arange(np.prod(self.shape)).reshape(self.shape) + self.said.get("first", 0)).astype(self.dtype)
        part = whole[self.index]
        SLICED.append(part.size)
        return part[..., :-1] if self.said.get("short") else part

class Reader:
    def __init__(self, image, fs_kwargs=None):
        with open(image) as file:
            self.said = json.load(file)
        if "shape" not in self.said["scenes"][0]:
            raise OwnError("not mine")
        self.set_scene(0)
    @property
    def scenes(self):
        return tuple(scene.get("name", f"Image:{i}") for i, scene in enumerate(self.said["scenes"]))
    def set_scene(self, scene):
        self.now = self.said["scenes"][scene]
        self.dims = SimpleNamespace(order=self.now.get("order", "TCZYX"))
    def get_image_dask_data(self, order):
        return Lazy(self.now)
    @property
    def physical_pixel_sizes(self):
        return SimpleNamespace(**dict(zip("ZYX", self.now.get("sizes", [None] * 3))))
    @property
    def dimension_properties(self):
        units = self.now.get("units", [None] * 3)
        return SimpleNamespace(**{l: SimpleNamespace(type=None, unit=u) for l, u in zip("ZYX", units)})
    @property
    def time_interval(self):
        value = self.now.get("interval")
        return value if value is None or self.now.get("bare") else timedelta(seconds=value)
    @property
    def channel_names(self):
        return self.now.get("channels")

class ReaderMetadata:
    @staticmethod
    def get_supported_extensions():
        return ["acme", ".tif", ""]
    @staticmethod
    def get_reader():
        return Reader
'''

STACK = {
    "name": "left", "shape": [2, 3, 4, 5, 6], "sizes": [0.5, 0.2, 0.1], "interval": 30.0,
    "channels": ["DAPI", "GFP", "BF"],
}  # fmt: skip


Save = Callable[..., Path]


def register(folder: Path, module: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a plugin as pip would: a module and its metadata on the path."""
    (folder / f"{module}.py").write_text(text)
    place = folder / f"{module}-1.2.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
    (place / "entry_points.txt").write_text(f"[bioio.readers]\n{module} = {module}\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, module, raising=False)
    _plugins._plugin.cache_clear()


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Save]:
    """Writes a file of scenes for the plugin ``bioio_acme``, which is there while the test runs."""
    (tmp_path / "site").mkdir()
    register(tmp_path / "site", "bioio_acme", PLUGIN, monkeypatch)

    def write(*scenes: dict[str, Any], name: str = "cells.acme") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps({"scenes": scenes}))
        return path

    yield write
    _plugins._plugin.cache_clear()


def test_sizes_times_names_and_voxels_are_those_of_the_plugin(save: Save) -> None:
    volume = read_volume(save(STACK))
    assert volume.shape == (2, 3, 4, 5, 6)
    assert volume.voxel_size_um == (0.5, 0.2, 0.1)
    assert volume.time_s == (0.0, 30.0)
    assert volume.channel_names == ("DAPI", "GFP", "BF")
    assert volume.sources["voxel_size_um"] == "bioio_acme 1.2 physical_pixel_sizes"
    assert set(volume.origin.values()) == {"file"}
    # element (t, c, z, y, x) = (1, 2, 3, 4, 5) is the last of 720; (1, 0, 2, 1, 4) is 360 + 0 + 60 + 6 + 4 = 430
    assert volume.planes(1, 2, 3, 4)[0, 4, 5] == 719
    assert volume.planes(1, 0, 1, 4)[1, 1, 4] == 430


def test_the_note_says_who_read_it(save: Save) -> None:
    (note,) = read_volume(save(STACK)).notes
    assert note.startswith("W-BIOIO: read by bioio_acme 1.2;")


def test_one_plane_asks_the_plugin_for_one_plane(save: Save) -> None:
    import bioio_acme  # type: ignore[import-not-found]

    volume = read_volume(save(STACK))
    assert bioio_acme.SLICED == []
    volume.planes(1, 1, 2, 3)
    assert bioio_acme.SLICED == [30]


@pytest.mark.parametrize(("given", "first"), [(None, 0), ("left", 0), ("0", 0), ("right", 7), ("1", 7)])
def test_scenes_are_chosen_by_name_or_index(save: Save, given: str | None, first: int) -> None:
    path = save(STACK, {**STACK, "name": "right", "first": 7})
    volume = read_volume(path, ReadOptions(dataset=given))
    assert volume.planes(0, 0, 0, 1)[0, 0, 0] == first
    listed = [note for note in volume.notes if note.startswith("W-SERIES")]
    assert len(listed) == (given is None)
    assert all("left, right" in note for note in listed)


def test_a_scene_that_is_not_there_is_refused_with_those_that_are(save: Save) -> None:
    with pytest.raises(InputError, match=r"E-DATASET.*--dataset with one of: left, right"):
        read_volume(save(STACK, {**STACK, "name": "right"}), ReadOptions(dataset="middle"))


@pytest.mark.parametrize(
    "sizes", [[None, 0.2, None], [None, None, None], [0.5, 0, 0.1], [0.5, math.inf, 0.1], [-1, 1, 1]]
)
def test_a_size_that_is_not_known_stays_unknown(save: Save, sizes: list[float | None]) -> None:
    path = save({**STACK, "sizes": sizes})
    assert read_volume(path, is_size_required=False).voxel_size_um is None
    with pytest.raises(MetadataError, match="E-VOXEL-SIZE"):
        read_volume(path)
    assert read_volume(path, ReadOptions(voxel_size_um=(3.0, 2.0, 1.0))).voxel_size_um == (3.0, 2.0, 1.0)


def test_units_are_honoured_and_an_unknown_one_is_not_used(save: Save) -> None:
    known = {**STACK, "sizes": [0.002, 200.0, 0.1], "units": ["millimeter", "nanometer", "micrometer"]}
    assert read_volume(save(known)).voxel_size_um == pytest.approx((2.0, 0.2, 0.1))
    volume = read_volume(save({**STACK, "units": [None, "pixel", None]}), is_size_required=False)
    assert volume.voxel_size_um is None
    assert any(note.startswith("W-VOXEL-SIZE") and "'pixel'" in note for note in volume.notes)


def test_a_time_without_a_unit_is_noted_and_not_used(save: Save) -> None:
    volume = read_volume(save({**STACK, "bare": True}))
    assert volume.time_s is None
    assert any(note.startswith("W-BIOIO-TIME") and "--time-step-s" in note for note in volume.notes)
    assert read_volume(volume.path or "", ReadOptions(time_step_s=5.0)).time_s == (0.0, 5.0)


def test_names_that_bioio_makes_up_are_not_those_of_the_file(save: Save) -> None:
    names = ["Channel:0:0", "Channel:0:1", "Channel:0:2"]
    assert read_volume(save({**STACK, "channels": names})).channel_names == ()


def test_axes_in_any_order(save: Save) -> None:
    volume = read_volume(save({"shape": [5, 6, 3, 4], "order": "YXCZ", "sizes": [0.5, 0.2, 0.1]}))
    assert volume.shape == (1, 3, 4, 5, 6)
    # y 1, x 2, c 2, z 3 of (5, 6, 3, 4): 1 * 72 + 2 * 12 + 2 * 4 + 3 = 107
    assert volume.planes(0, 2, 3, 4)[0, 1, 2] == 107


def test_axes_of_the_user_take_the_sizes_along_by_place(save: Save) -> None:
    path = save({"shape": [4, 5, 6], "order": "TYX", "interval": 30.0, "sizes": [0.5, 0.2, 0.1]})
    assert read_volume(path).time_s == (0.0, 30.0, 60.0, 90.0)
    volume = read_volume(path, ReadOptions(axes="ZYX"), is_size_required=False)
    assert (volume.shape, volume.time_s, volume.voxel_size_um) == ((1, 1, 4, 5, 6), None, None)
    with pytest.raises(MetadataError, match="E-AXES"):
        read_volume(path, ReadOptions(axes="CZYX"))
    other = save({**STACK, "order": "ZYX"})  # three letters for five axes: the cure is typed
    with pytest.raises(MetadataError, match=r"E-AXES.*--axes TCZYX"):
        read_volume(other)
    volume = read_volume(other, ReadOptions(axes="TCZYX"), is_size_required=False)
    assert (volume.shape, volume.voxel_size_um) == ((2, 3, 4, 5, 6), None)


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"shape": [5, 6, 3], "order": "YXS"}, "E-RGB"), ({"shape": [9, 5, 6], "order": "MYX"}, "E-BIOIO-AXES"),
     ({"dtype": "complex64"}, "E-DTYPE"), ({"shape": [2, 3, 0, 5, 6]}, "E-SHAPE"), ({"order": "ZYX"}, "E-AXES")],
)  # fmt: skip
def test_what_is_no_volume_is_refused(save: Save, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(InputError, match=f"^{code}:") as caught:
        read_volume(save({**STACK, **changes}))
    assert caught.value.cure


def test_axes_that_the_plugin_gives_wrong_can_be_given(save: Save) -> None:
    path = save({**STACK, "order": "ZYX"})
    with pytest.raises(InputError, match="E-AXES") as caught:
        read_volume(path)
    (axes,) = (fact.values[0] for fact in caught.value.missing if fact.name == "axes")
    assert read_volume(path, ReadOptions(axes=axes), is_size_required=False).shape == tuple(STACK["shape"])


@pytest.mark.parametrize("size", ["", "0.2 um", [0.2], {}])
def test_a_size_that_is_no_number_is_an_error_of_the_plugin(size: object, save: Save) -> None:
    with pytest.raises(InputError, match=r"E-BIOIO: .*its metadata, by the plugin bioio_acme 1\.2"):
        read_volume(save({**STACK, "sizes": [0.5, size, 0.1]}))


def test_errors_of_the_plugin_get_a_code_and_its_name(save: Save) -> None:
    with pytest.raises(InputError, match=r"E-BIOIO: .*bioio_acme 1\.2.*OwnError: not mine"):
        read_volume(save({"name": "no shape"}))
    with pytest.raises(InputError, match=r"E-BIOIO: .*voxels.*OwnError: bad block\)"):
        read_volume(save({**STACK, "fails": True})).planes(0, 0, 0, 1)
    with pytest.raises(InputError, match=r"E-BIOIO: .*\(1, 5, 5\).*announced \(1, 5, 6\)"):
        read_volume(save({**STACK, "short": True})).planes(0, 0, 0, 1)


def test_a_change_while_open_is_noticed_and_the_volume_travels(save: Save) -> None:
    path = save(STACK)
    volume = pickle.loads(pickle.dumps(read_volume(path)))  # noqa: S301  our own bytes
    assert volume.planes(0, 0, 1, 2)[0, 0, 0] == 30
    path.write_text(path.read_text() + " ")
    with pytest.raises(InputError, match="E-INPUT-CHANGED"):
        volume.planes(0, 0, 0, 1)


def test_files_of_other_readers_and_pictures_are_left_alone(save: Save, tmp_path: Path) -> None:
    claims = formats()["bioio"].verify
    assert claims(save(STACK))
    assert not claims(save(STACK, name="cells.tif"))
    assert not claims(save(STACK, name="cells.unknown"))
    (tmp_path / "empty.acme").touch()
    (tmp_path / "photo.acme").write_bytes(b"\xff\xd8\xff\xe0" + bytes(600))
    (tmp_path / "folder.acme").mkdir()
    assert not any(claims(tmp_path / name) for name in ("empty.acme", "photo.acme", "folder.acme", "absent.acme"))
    tiff = tmp_path / "in_disguise.acme"
    import tifffile

    tifffile.imwrite(tiff, np.zeros((4, 5), np.uint8))
    assert detect(tiff).name == "tiff"


def test_a_plugin_that_cannot_be_loaded_is_named(save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    register(tmp_path / "more", "bioio_broken", "raise RuntimeError('no Java')", monkeypatch)
    assert read_volume(save(STACK)).shape == (2, 3, 4, 5, 6)
    with pytest.raises(InputError, match=r"E-FORMAT: .*bioio_broken 1\.2 cannot be loaded \(RuntimeError: no Java\)"):
        read_volume(save(STACK, name="cells.unknown"))


def test_without_plugins_the_message_names_bioio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plugins, "entry_points", lambda **_: ())
    path = tmp_path / "cells.acme"
    path.write_text("{}")
    with pytest.raises(InputError, match=r"E-FORMAT: .*plugin of bioio"):
        read_volume(path)


def test_plugins_are_not_loaded_for_help_or_for_other_files(save: Save, tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import tomocyte.cli, tomocyte.formats as f; from pathlib import Path\n"
        "[entry.verify(Path(sys.argv[1])) for entry in f.formats().values()]\n"
        "print(sorted(set(sys.modules) & {'bioio', 'bioio_base', 'bioio_imageio', 'bioio_acme', 'dask'}))"
    )
    for name, loaded in (("cells.tif", False), ("cells.acme", True)):
        done = subprocess.run(
            [sys.executable, "-c", program, str(save(STACK, name=name))],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        assert ("bioio_acme" in done.stdout) is loaded


def _bmp(path: Path, rows: np.ndarray) -> Path:
    """A grey Windows bitmap, byte by byte: two headers, 256 grey colours, rows from below, padded to 4."""
    height, width = rows.shape
    padded = np.pad(rows, ((0, 0), (0, -width % 4)))[::-1].tobytes()
    start = 14 + 40 + 1024
    head = b"BM" + (start + len(padded)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    numbers = [
        (40, 4),
        (width, 4),
        (height, 4),
        (1, 2),
        (8, 2),
        (0, 4),
        (len(padded), 4),
        (0, 4),
        (0, 4),
        (256, 4),
        (0, 4),
    ]
    info = b"".join(value.to_bytes(size, "little") for value, size in numbers)
    colours = b"".join(bytes((level, level, level, 0)) for level in range(256))
    path.write_bytes(head + info + colours + padded)
    return path


def test_a_real_plugin_reads_a_bitmap(tmp_path: Path) -> None:
    pytest.importorskip("bioio_imageio")
    rows = np.random.default_rng(3).integers(0, 256, (7, 10), dtype=np.uint8)
    volume = read_volume(_bmp(tmp_path / "a.bmp", rows), ReadOptions(voxel_size_um=(math.nan, 0.2, 0.1)))
    assert volume.shape == (1, 1, 1, 7, 10)
    np.testing.assert_array_equal(volume.planes(0, 0, 0, 1)[0], rows)


def test_the_cure_of_each_refusal_is_typed(save: Save, tmp_path: Path) -> None:
    """A scene that is not there, axes that do not fit, a plugin without sizes: each message's option gets further."""
    stack = {**STACK, "sizes": [None] * 3, "name": "left side"}
    path = save(stack, {**stack, "name": "right"})
    words: list[str] = ["--dataset", "middle", "--axes", "TYX"]
    for code, option, values in (
        ("E-DATASET", "--dataset", ["left side"]),
        ("E-AXES", "--axes", ["TCZYX"]),
        ("E-VOXEL-SIZE", "--voxel-size-um", ["0.5", "0.2", "0.1"]),
    ):
        result = CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "out.ome.zarr"), *words])
        message = f"{result.output} {result.exception}"
        assert code in message
        shown = "Z Y X" if len(values) > 1 else values[0]
        assert re.search(f'{option} (with one of: )?"?{shown}', " ".join(message.split())), message
        if option in words:
            at = words.index(option)
            words[at + 1 : at + 2] = values
        else:
            words += [option, *values]
    result = CliRunner().invoke(app, ["convert", str(path), str(tmp_path / "out.ome.zarr"), *words])
    assert result.exit_code == 0, result.output
    assert read_volume(tmp_path / "out.ome.zarr").shape == (2, 3, 4, 5, 6)
