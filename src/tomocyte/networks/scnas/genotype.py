"""Genotypes: what an architecture search finds, as four cells of chosen inputs and operations.

A genotype is a YAML file; those that ship lie in ``genotypes`` and never change under their name, because a model's
card may name one. To add one, add a file there; to add an operation, see ``operations``.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pydantic import Field, model_validator

from tomocyte.errors import SettingsError
from tomocyte.settings import Settings, build_settings, load_settings

CellKind: TypeAlias = Literal["encoder_normal", "reduction", "decoder_normal", "expansion"]
Operation: TypeAlias = Literal[
    "identity",
    "conv",
    "dilated-conv",
    "separable-conv",
    "excited-conv",
    "max-pool",
    "average-pool",
    "linear-up",
    "linear-up-conv",
    "transposed-conv",
]
Node: TypeAlias = tuple[tuple[int, Operation], ...]
"""The edges that end in one node: (where from, through which operation)."""

CELL_KINDS: tuple[CellKind, ...] = get_args(CellKind)
N_INPUTS = 2
"""Inputs of every cell; sources 0 and 1 are they, source 2 is the first node."""
STAY: tuple[Operation, ...] = ("identity", "conv", "dilated-conv", "separable-conv", "excited-conv")
DOWN: tuple[Operation, ...] = (
    "max-pool",
    "average-pool",
    "conv",
    "dilated-conv",
    "separable-conv",
    "excited-conv",
)
UP: tuple[Operation, ...] = ("linear-up", "linear-up-conv", "transposed-conv")


def operations_for(kind: CellKind, source: int) -> tuple[Operation, ...]:
    """The operations that an edge may have: those that change the resolution only from a cell's inputs.

    Examples
    --------
    >>> operations_for("expansion", 0)
    ('linear-up', 'linear-up-conv', 'transposed-conv')
    >>> "identity" in operations_for("expansion", 2)
    True
    """
    if source >= N_INPUTS:
        return STAY
    return {"reduction": DOWN, "expansion": UP}.get(kind, STAY)


class Genotype(Settings):
    """Four cells; each is a list of nodes, each node the sum of its edges, the cell's output all nodes together."""

    encoder_normal: tuple[Node, ...] = Field(min_length=1, max_length=8)
    """Keeps the resolution on the way down; edges are ``[source, operation]``, sources 0 and 1 being the inputs."""
    reduction: tuple[Node, ...] = Field(min_length=1, max_length=8)
    """Lowers the resolution on the edges from its inputs."""
    decoder_normal: tuple[Node, ...] = Field(min_length=1, max_length=8)
    """Keeps the resolution on the way up; source 1 is the encoder's features of that resolution."""
    expansion: tuple[Node, ...] = Field(min_length=1, max_length=8)
    """Raises the resolution on the edges from its inputs."""
    description: str = Field(default="", max_length=2000)
    """Where it comes from."""

    @model_validator(mode="after")
    def _is_sound(self) -> Genotype:
        lengths = {kind: len(self.cell(kind)) for kind in CELL_KINDS}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the four cells need equally many nodes, not {lengths}")
        for kind in CELL_KINDS:
            for index, node in enumerate(self.cell(kind)):
                _check_node(kind, index, node)
            if 0 not in {source for node in self.cell(kind) for source, _ in node}:
                raise ValueError(f"{kind} never uses its input 0, so that everything before it would have no effect")
        return self

    @property
    def n_nodes(self) -> int:
        """Nodes of every cell."""
        return len(self.encoder_normal)

    def cell(self, kind: CellKind) -> tuple[Node, ...]:
        """The nodes of one kind of cell."""
        return {
            "encoder_normal": self.encoder_normal,
            "reduction": self.reduction,
            "decoder_normal": self.decoder_normal,
            "expansion": self.expansion,
        }[kind]

    def as_yaml(self) -> str:
        """The file's text; :func:`load_genotype` gives the same genotype again."""
        import yaml

        content = self.model_dump(mode="json", exclude_defaults=True)
        text = (
            yaml.safe_dump({"description": self.description}, width=110, allow_unicode=True) if self.description else ""
        )
        for kind in CELL_KINDS:
            nodes = [yaml.safe_dump(node, default_flow_style=True, width=1000).strip() for node in content[kind]]
            text += f"{kind}:\n" + "".join(f"  - {node}\n" for node in nodes)
        return text


def _check_node(kind: CellKind, index: int, node: Node) -> None:
    place = f"node {index} of {kind}"
    if not node:
        raise ValueError(f"{place} has no edge")
    sources = [source for source, _ in node]
    if len(set(sources)) < len(sources):
        raise ValueError(f"{place} has two edges from one source")
    for source, operation in node:
        if not 0 <= source < N_INPUTS + index:
            raise ValueError(f"{place} takes source {source}; 0 to {N_INPUTS + index - 1} exist")
        allowed = operations_for(kind, source)
        if operation not in allowed:
            raise ValueError(f"{place}: {operation!r} is not allowed on an edge from source {source}, only {allowed}")


def genotype_names() -> list[str]:
    """Names of the genotypes that ship."""
    folder = Path(str(resources.files("tomocyte") / "networks" / "scnas" / "genotypes"))
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_genotype(path: Path) -> Genotype:
    """A genotype from a YAML file.

    Raises
    ------
    SettingsError
        ``E-SETTINGS``: not readable, or not a genotype.
    """
    return build_settings(Genotype, load_settings(path))


def load_shipped_genotype(name: str) -> Genotype:
    """A genotype that ships.

    Raises
    ------
    SettingsError
        ``E-GENOTYPE``: no such name.

    Examples
    --------
    >>> load_shipped_genotype("simulated-nih3t3").n_nodes
    3
    """
    names = genotype_names()
    if name not in names:
        raise SettingsError(
            "E-GENOTYPE", f"unknown genotype {name!r}.", cure=f"One of: {', '.join(names)}, or its content."
        )
    return load_genotype(Path(str(resources.files("tomocyte") / "networks" / "scnas" / "genotypes" / f"{name}.yaml")))
