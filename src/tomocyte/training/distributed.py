"""Several processes that train one network: what ``torchrun`` sets in the environment.

Every process makes the same batches and takes its share of each; gradients are averaged by torch. With one process
torch.distributed is not used.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from tomocyte.errors import SettingsError


@dataclass(frozen=True)
class Processes:
    """The number of this process, how many there are, and the device it computes on.

    Parameters
    ----------
    rank, n_processes : int
    device : str
    """

    rank: int
    n_processes: int
    device: str

    @classmethod
    def from_environment(cls, device: str) -> Processes:
        """Join the others that ``torchrun`` started; alone otherwise.

        Raises
        ------
        SettingsError
            ``E-DEVICE``: no such device.
        """
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise SettingsError("E-DEVICE", f"no GPU that torch can use for {device!r}.", cure="Use --device cpu.")
        n_processes = int(os.environ.get("WORLD_SIZE", "1"))
        if n_processes == 1:
            return cls(0, 1, device)
        local = int(os.environ.get("LOCAL_RANK", "0"))
        is_gpu = device.startswith("cuda")
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if is_gpu else "gloo")
        return cls(torch.distributed.get_rank(), n_processes, f"cuda:{local}" if is_gpu else "cpu")

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """(rank, processes): which samples of a batch are this process's."""
        return self.rank, self.n_processes

    def wait(self) -> None:
        """Until all processes are here."""
        if self.n_processes > 1:
            torch.distributed.barrier()

    def check_batch(self, n_samples: int) -> None:
        """Refuse batches that cannot be shared out evenly.

        Raises
        ------
        SettingsError
            ``E-BATCH``.
        """
        if n_samples % self.n_processes:
            raise SettingsError(
                "E-BATCH",
                f"batches of {n_samples} samples cannot be shared by {self.n_processes} processes.",
                cure=f"Use a loop.batch_size that {self.n_processes} divides, and enough samples for one batch.",
            )

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module whose gradients are averaged over all processes; statistics of batches too on GPUs."""
        if self.n_processes == 1:
            return module
        is_gpu = self.device.startswith("cuda")
        return torch.nn.parallel.DistributedDataParallel(module, device_ids=[self.device] if is_gpu else None)
