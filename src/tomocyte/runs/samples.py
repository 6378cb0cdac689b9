"""Open sample data: where it comes from, its licence and hash, and getting it.

A sample is made by the program, downloaded from its original source, or copied from a local folder (``mirror``), and
always checked against its SHA-256. To add one, add an entry to :data:`REGISTRY`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tomocyte.errors import InputError, OutputError, SettingsError

DOWNLOAD_TIMEOUT_S = 60
LARGEST_DOWNLOAD_BYTES = 1 << 30
NEUBIAS = "https://raw.githubusercontent.com/NEUBIAS/training-resources"


@dataclass(frozen=True)
class SampleFile:
    """One file of a sample.

    Parameters
    ----------
    name : str
    sha256 : str
    url : str, optional
        Where these very bytes can be downloaded; ``None`` when the file is a re-encoding of the original.
    """

    name: str
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class Sample:
    """One entry of the registry.

    Parameters
    ----------
    name, description, source, licence : str
        ``source`` names the original, also where the file itself is a re-encoding.
    files : tuple of SampleFile
    hint : str
        Options of ``tomocyte run`` that the file itself does not say.
    make : callable, optional
        ``make(folder) -> list of Path`` for a sample that the program makes itself.
    """

    name: str
    description: str
    source: str
    licence: str
    files: tuple[SampleFile, ...] = ()
    hint: str = ""
    make: Callable[[Path], list[Path]] | None = field(default=None, compare=False)

    @property
    def is_obtained(self) -> bool:
        """Whether the program makes the sample, or downloads every file of it."""
        return self.make is not None or all(file.url is not None for file in self.files)


def _make_simulated_odt(folder: Path) -> list[Path]:
    """A field of whole HeLa-like cells, 64 x 256 x 256, and its truth table; the same bytes every time.

    Of the kind on which the intervals of the shipped models were learned (``choi-truth``), and none of those fields: no
    border cuts a cell, so that its numbers can be compared with the truth.
    """
    from tomocyte.formats import write_volume
    from tomocyte.simulation.cells.settings import SceneSettings
    from tomocyte.simulation.dataset import simulate_item
    from tomocyte.simulation.dataset_settings import DatasetSettings
    from tomocyte.tables import write_csv

    whole = SceneSettings(border_overhang=0.0)
    item = simulate_item(DatasetSettings(preset="HeLa", shape=(64, 256, 256), n_cells=(3, 6), scene=whole), 0, seed=1)
    tomogram, truth = folder / "simulated_hela.ome.tif", folder / "simulated_hela_truth.csv"
    _publish_new(tomogram, lambda part: write_volume(part, item.volume()))
    _publish_new(truth, lambda part: write_csv(item.truth(), part))
    return [tomogram, truth]


def _publish_new(target: Path, write: Callable[[Path], Any]) -> None:
    """Write a file, unless another one of that name is there: it may be somebody's."""
    from tomocyte.ledger.atomic import part_name, put_in_place, sync_file, writing

    part = target.with_name(part_name(target.name))
    with writing(target):
        try:
            write(part)
            if target.exists() and _sha256(target) != _sha256(part):
                raise OutputError(
                    "E-EXISTS",
                    "there is already another file of this name.",
                    path=target,
                    cure="Choose another folder.",
                )
            sync_file(part)
            put_in_place(part, target)
        finally:
            part.unlink(missing_ok=True)


REGISTRY = (
    Sample(
        "simulated-odt",
        "a simulated field of cells as an RI tomogram, with the exact truth",
        "simulated by this program",
        "CC0-1.0",
        hint="--modality odt",
        make=_make_simulated_odt,
    ),
    Sample(
        "hl60",
        "one real HL60 cell, RI tomogram 140x140x140, 0.139 um",
        "Schuermann et al. 2017, doi:10.1002/jbio.201700145; reconstructed from github.com/RI-imaging/ODTbrain "
        "examples/data/qlsi_3d_hl60-cell_A140.tar.lzma with its own example recipe",
        "CC0-1.0",
        (SampleFile("hl60_ri.ome.tif", "99ae0ef8d5f862ef16e5a3f3cac65c30b965f39480feb9e6905e3bc02b7b85f9"),),
        hint="--modality odt --medium-ri 1.335",
    ),
    Sample(
        "qpi-dense",
        "seven quantitative phase images of dense cells, 600x600, dry-mass density",
        "github.com/tomasvicar/Improved_QPI_Iterative_Thresholding data_dense, re-encoded",
        "BSD-3-Clause",
        (
            SampleFile("img_001.tif", "add28a88c41aa2e310300b100dba27d265e828fab8b27c77ba232e03043c645e"),
            SampleFile("img_003.tif", "268226109572bbcdf7b294b1b5e082e5af145bc11ff67ae3738f8f15bf220094"),
            SampleFile("img_005.tif", "6b20503f24a8011acd318e825a3ee29acb9dc0488e6eeb573601735b8b679852"),
            SampleFile("img_006.tif", "f1600d20dc0ae0485c61b069037ffbc12ec676965a4296e1ed1e5d4a930c0cc8"),
            SampleFile("img_008.tif", "06c85d37e21d8e38a23faaffb62a71462d8944358e25f67b8165b1b1e5cb7cfe"),
            SampleFile("img_010.tif", "42f7678cbe23430e322a2db15eaa9256766941127dd8cd96baa21f8a1404e8b1"),
            SampleFile("img_012.tif", "335c244fa797b2271ff0d0a7ecbbfb514917ab4ad846f582da6349ff7d91f7bb"),
        ),
        hint="--modality qpi --quantity dry-mass-density --pixel-size-um 0.627 0.627",
    ),
    Sample(
        "ovule-nuclei",
        "nuclei of an ovule, confocal, HDF5 100x100x100 with gold instances",
        "github.com/kreshuklab/go-nuclear",
        "MIT",
        (SampleFile("1135_mini.h5", "aefcc5103479c959aca022f411c3260df1a5c99a69b0adb03d6bbea19e8afc2f"),),
        hint="--modality fluorescence --dataset raw",
    ),
    Sample(
        "chromosomes",
        "condensed chromosomes, confocal, ImageJ stack 40x152x126",
        "github.com/NEUBIAS/training-resources image_data",
        "CC-BY-4.0",
        (
            SampleFile(
                "xyz_8bit__chromosomes.tif",
                "ca27860f921d4908083ce3d8b444647e4507b9922c318e22e88154fda48a508d",
                f"{NEUBIAS}/7b9a1ad1d504ad51dc44a1fecf898c13e927a6ba/image_data/xyz_8bit__chromosomes.tif",
            ),
        ),
        hint="--modality fluorescence",
    ),
    Sample(
        "two-channel-nucleus",
        "one nucleus, confocal beside wide-field, ImageJ hyperstack 45x2x130x133",
        "github.com/NEUBIAS/training-resources image_data",
        "CC-BY-4.0",
        (
            SampleFile(
                "xyzc_16bit__dna_conf_wf.tif",
                "3fe86325a5bb812450bab4ee8e18274c7732caff341114009bb2b56544208bb4",
                f"{NEUBIAS}/f18870abca8e416488bfcaf2a2dca1c205c6a1d4/image_data/xyzc_16bit__dna_conf_wf.tif",
            ),
        ),
        hint="--modality fluorescence",
    ),
)


def registry() -> dict[str, Sample]:
    """Every sample, by name."""
    return {entry.name: entry for entry in REGISTRY}


def get_sample(name: str, folder: Path, *, mirror: Path | None = None) -> list[Path]:
    """Make, download or copy a sample into a folder.

    Parameters
    ----------
    name : str
    folder : Path
        Made if missing. Files already there with the right hash are left alone.
    mirror : Path, optional
        A local folder that holds the files (searched recursively), instead of the network.

    Returns
    -------
    list of Path
        The files, each with the registered SHA-256.

    Raises
    ------
    SettingsError
        ``E-SAMPLE``: unknown name.
    InputError
        ``E-SAMPLE-SOURCE``: not in the mirror, not downloadable; ``E-SAMPLE-HASH``: other bytes than registered.
    OutputError
        ``E-EXISTS``: another file of that name is already there.
    """
    if name not in registry():
        raise SettingsError("E-SAMPLE", f"unknown sample {name!r}.", cure=f"Known: {', '.join(registry())}.")
    sample = registry()[name]
    folder.mkdir(parents=True, exist_ok=True)
    if sample.make is not None:
        return sample.make(folder)
    return [_get_file(sample, file, folder, mirror) for file in sample.files]


def _get_file(sample: Sample, file: SampleFile, folder: Path, mirror: Path | None) -> Path:
    target = folder / file.name
    if target.exists():
        if _sha256(target) == file.sha256:
            return target
        raise OutputError(
            "E-EXISTS", "there is already another file of this name.", path=target, cure="Choose another folder."
        )
    part = folder / f"{file.name}.part{os.getpid()}"
    try:
        if mirror is not None:
            _copy(sample, file, mirror, part)
        elif file.url is not None:
            _download(file.url, part)
        else:
            raise InputError(
                "E-SAMPLE-SOURCE",
                f"{file.name} is a converted file and cannot be downloaded; its source: {sample.source}.",
                cure="Give the folder that contains it with --from DIR.",
            )
        if (actual := _sha256(part)) != file.sha256:
            raise InputError(
                "E-SAMPLE-HASH",
                f"SHA-256 is {actual}, registered is {file.sha256}.",
                path=file.name,
                cure="Nothing was saved.",
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _copy(sample: Sample, file: SampleFile, mirror: Path, part: Path) -> None:
    files = sorted(mirror.rglob(file.name)) if mirror.is_dir() else []
    if not files:
        raise InputError(
            "E-SAMPLE-SOURCE", f"no {file.name} below it.", path=mirror, cure=f"Its source: {sample.source}."
        )
    shutil.copyfile(files[0], part)


def _download(url: str, part: Path) -> None:
    """Fetch over TLS with a bound on size; anything that fails is one clear error."""
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as answer, part.open("wb") as target:
            if not answer.geturl().startswith("https://"):
                raise InputError(
                    "E-SAMPLE-SOURCE", f"was redirected to {answer.geturl()}, which is not https.", path=url
                )
            n_bytes = 0
            while chunk := answer.read(1 << 20):
                n_bytes += len(chunk)
                if n_bytes > LARGEST_DOWNLOAD_BYTES:
                    raise InputError("E-SAMPLE-SOURCE", "is larger than 1 GB.", path=url)
                target.write(chunk)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as problem:
        raise InputError(
            "E-SAMPLE-SOURCE", f"cannot be downloaded: {problem}.", path=url, cure="Or give a local folder with --from."
        ) from problem


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
