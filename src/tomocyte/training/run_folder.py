"""The folder of one training: what went in, how it went, and the model that came out.

``recipe.json``, ``data.json`` (every file with its SHA-256), ``environment.json``, ``log.jsonl`` (one line per tenth
step and per epoch), ``curves.csv`` and ``curves.png``, ``checkpoints/``, ``model/`` (the package) and, last of
all, ``result.json``: a training without it is not finished. To add a file, write it in :func:`finish`.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tomocyte.datasets.labelled import LabelledItem, describe_items
from tomocyte.errors import InputError, SettingsError
from tomocyte.ledger import claim_folder
from tomocyte.ledger.atomic import write_atomic, writing
from tomocyte.ledger.lock import FolderLock
from tomocyte.ledger.sealed import seal, unseal
from tomocyte.provenance import environment, sha256_of_path
from tomocyte.training.loop import Log, recipe_hash
from tomocyte.training.recipe import Recipe

STEPS_PER_LINE = 10
OWN = ("tomocyte.lock", "checkpoints", "recipe.json", "result.json")
"""Files and folders by which the folder of an earlier training is known."""


class RunFolder:
    """The files of one training, locked while it runs.

    Parameters
    ----------
    folder : Path
        Made if missing.
    recipe : Recipe
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder = folder
        self.recipe = recipe
        self._lock = FolderLock(folder / "tomocyte.lock")

    def __enter__(self) -> RunFolder:
        claim_folder(self.folder, "train", own=OWN)
        with writing(self.folder):
            (self.folder / "checkpoints").mkdir(exist_ok=True)
        self._lock.acquire()
        return self

    def __exit__(self, *args: object) -> None:
        self._lock.release()

    def restart(self, made: Sequence[str] = ("model",), *, name: str = "model") -> Path | None:
        """Delete an earlier training, but never what it made: that is renamed, ``model.earlier-1`` and so on.

        Parameters
        ----------
        made : sequence of str
            What is kept: the folder ``name`` itself, or files that are put into one folder together.
        name : str
            What the kept folder is called, before ``.earlier-1``.

        Returns
        -------
        Path, optional
            Where it is now; ``None`` where nothing was made.

        Raises
        ------
        OutputError
            The folder cannot be written; nothing is deleted.
        """
        kept = self._set_aside(made, name)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        for file in ("result.json", "log.jsonl", "curves.csv", "curves.png", "data.json"):
            (self.folder / file).unlink(missing_ok=True)
        (self.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        return kept

    def _set_aside(self, made: Sequence[str], name: str) -> Path | None:
        there = [self.folder / one for one in made if (self.folder / one).exists()]
        if not there:
            return None
        number = next(n for n in itertools.count(1) if not (self.folder / f"{name}.earlier-{n}").exists())
        kept = self.folder / f"{name}.earlier-{number}"
        with writing(kept):
            if there == [self.folder / name]:
                there[0].rename(kept)
                return kept
            kept.mkdir()
            for path in there:
                path.rename(kept / path.name)
        return kept

    def result(self) -> dict[str, Any] | None:
        """The result of a training that is finished, if it was made by this recipe.

        Raises
        ------
        SettingsError
            ``E-RESUME``: by another recipe.
        InputError
            ``E-RECORD``: the result is damaged, so that it is not known what the finished model is.
        """
        path = self.folder / "result.json"
        if not path.exists():
            return None
        try:
            content = unseal(path)
        except InputError as problem:
            cure = "Restore the file from a copy. Or train again with --restart, which keeps what is there."
            raise InputError(problem.code, f"the result {problem.problem}", path=path, cure=cure) from problem
        if content["recipe_sha256"] != recipe_hash(self.recipe):
            raise SettingsError(
                "E-RESUME",
                "the folder holds a finished training of another recipe.",
                path=self.folder,
                cure="Use another output folder, or --restart.",
            )
        return content

    def begin(self, train: list[LabelledItem], validation: list[LabelledItem]) -> None:
        """Write recipe, data and environment; refuse data that changed since the training began.

        Raises
        ------
        InputError
            ``E-DATA-CHANGED``.
        """
        items = [*train, *validation]
        files = {str(path): path for item in items for path in item.files}
        hashes = {name: sha256_of_path(path) for name, path in files.items()}
        content = {"train": describe_items(train, hashes), "validation": describe_items(validation, hashes)}
        path = self.folder / "data.json"
        if path.exists() and json.loads(path.read_text(encoding="utf-8")) != content:
            raise InputError(
                "E-DATA-CHANGED",
                "the data are not those this training was started with.",
                path=path,
                cure="Restore them, or --restart.",
            )
        self._write("recipe.json", self.recipe.model_dump(mode="json"))
        self._write("data.json", content)
        self._write("environment.json", environment())

    def logger(self) -> Log:
        """What writes the entries of the training's log into ``log.jsonl``, and shows them to TensorBoard."""
        path = self.folder / "log.jsonl"
        board = _tensorboard(self.folder)

        def log(entry: dict[str, Any]) -> None:
            if entry["event"] == "resumed":
                _forget_later(path, int(entry["step"]))
            if entry["event"] == "step" and entry["step"] % STEPS_PER_LINE:
                return
            with writing(path), path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            if board is not None:
                _to_board(board, entry)

        return log

    def finish(self, content: dict[str, Any]) -> None:
        """Write the last file; its presence means that all others are complete."""
        write_atomic(self.folder / "result.json", seal({"recipe_sha256": recipe_hash(self.recipe), **content}))
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)

    def _write(self, name: str, content: Any) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomic(self.folder / name, text.encode("utf-8"))


def _forget_later(path: Path, step: int) -> None:
    """Drop the lines that a killed training wrote after its last checkpoint, and a last line cut in two."""
    if not path.exists():
        return
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") != "resumed" and int(entry.get("step", 0)) <= step:
            lines.append(line)
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode("utf-8"))


def _tensorboard(folder: Path) -> Any:
    """A TensorBoard writer where TensorBoard is installed."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def _to_board(board: Any, entry: dict[str, Any]) -> None:
    if entry.get("loss") is not None:
        board.add_scalar(f"loss/{entry['event']}", entry["loss"], entry["step"])
    for name, value in entry.get("validation", {}).items():
        board.add_scalar(f"validation/{name}", value, entry["step"])
    if entry["event"] == "epoch":
        board.flush()
