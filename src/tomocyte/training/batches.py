"""From samples to batches: the order of an epoch, and the tensors of one step.

Every random choice depends on (seed, epoch, position) alone, so that neither an interruption nor the number of threads
or processes changes a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from tomocyte.training.data.augmentation import augment, augmented_order
from tomocyte.training.data.samples import Image, Samples, Target, batch_shape, pad_pair
from tomocyte.training.data.settings import FULL_WEIGHT, IGNORE
from tomocyte.training.recipe import Recipe

Order = list[tuple[int, bool]]
N_AHEAD = 2


def epoch_order(recipe: Recipe, n_samples: int, epoch: int, *, holds_object: NDArray[np.bool_] | None = None) -> Order:
    """The order of the samples in one epoch, and which of them are augmented.

    Parameters
    ----------
    recipe : Recipe
    n_samples : int
    epoch : int
        From 0.
    holds_object : ndarray (n_samples,), bool, optional
        Which samples hold an object; needed where ``data.balance`` asks for it.

    Returns
    -------
    list of (index, is_augmented)
        A whole number of batches: the last, incomplete one is left out unless it is the only one.
    """
    rng = np.random.default_rng([recipe.loop.seed, epoch, 1])
    order = augmented_order(n_samples, recipe.augmentation, seed=recipe.loop.seed, epoch=epoch)
    size = recipe.loop.batch_size
    if recipe.data.balance != "none" and holds_object is not None:
        order = balanced_order(order, holds_object, size, cuts=recipe.data.balance == "cut", rng=rng)
        return order[: recipe.loop.samples_per_epoch]
    n_drawn = recipe.loop.samples_per_epoch
    if n_drawn is not None:
        repeats = -(-n_drawn // len(order))
        shuffled = [order[i] for _ in range(repeats) for i in rng.permutation(len(order))]
        order = shuffled[:n_drawn]
    else:
        order = [order[i] for i in rng.permutation(len(order))]
    return order[: max(len(order) // size * size, min(size, len(order)))]


def balanced_order(
    order: Order, holds_object: NDArray[np.bool_], batch_size: int, *, cuts: bool, rng: np.random.Generator
) -> Order:
    """Batches of which one half hold an object and the other do not; all as they come where one kind is missing.

    Parameters
    ----------
    order : list of (index, is_augmented)
    holds_object : ndarray (n,), bool
        By index.
    batch_size : int
        Even.
    cuts : bool
        Whether some of the more frequent kind are left out; else the rarer kind is repeated.
    rng : numpy.random.Generator

    Returns
    -------
    list of (index, is_augmented)
        A whole number of batches, at least one.

    Examples
    --------
    >>> order = balanced_order([(i, False) for i in range(6)], np.arange(6) > 3, 2, cuts=False,
    ...                        rng=np.random.default_rng(0))
    >>> [index > 3 for index, _ in order]
    [True, False, True, False, True, False, True, False]
    """
    kinds = [[entry for entry in order if bool(holds_object[entry[0]]) is is_object] for is_object in (True, False)]
    shuffled = [[kind[i] for i in rng.permutation(len(kind))] for kind in kinds]
    if not all(shuffled):
        rest = shuffled[0] or shuffled[1]
        return rest[: max(len(rest) // batch_size * batch_size, min(batch_size, len(rest)))]
    half = batch_size // 2
    n_batches = max(1, (min if cuts else max)(len(kind) // half for kind in shuffled))
    return [
        kind[place % len(kind)]
        for batch in range(n_batches)
        for kind in shuffled
        for place in range(batch * half, (batch + 1) * half)
    ]


def make_sample(
    samples: Samples, recipe: Recipe, index: int, *, is_augmented: bool, epoch: int, position: int
) -> tuple[Image, Target]:
    """One sample at a position of an epoch, augmented or not."""
    rng = np.random.default_rng([recipe.loop.seed, epoch, position, 2])
    image, target = samples.read(index, rng)
    if not is_augmented:
        return image, target
    changed, moved = augment(image, target, recipe.augmentation, rng)
    return changed, moved.astype(np.uint8, copy=False)


def stack(pairs: list[tuple[Image, Target]], divisor: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, C, \\*S) float32 and targets (B, K, \\*S) uint8; smaller ones padded, which gives no loss."""
    shape = batch_shape([image.shape[1:] for image, _ in pairs], divisor)
    padded = [pad_pair(image, target, shape) for image, target in pairs]
    images = torch.from_numpy(np.stack([image for image, _ in padded]).astype(np.float32, copy=False))
    return images, torch.from_numpy(np.stack([target for _, target in padded]))


def as_loss_target(target: torch.Tensor, *, is_softmax: bool) -> torch.Tensor:
    """What the loss expects: the heads as they are, or for softmax class indices (B, \\*S), the last head winning."""
    if not is_softmax:
        return target.float()
    classes = torch.zeros_like(target[:, 0], dtype=torch.int64)
    for head in range(target.shape[1]):
        classes[target[:, head] == 1] = head + 1
    classes[(target == IGNORE).any(dim=1)] = IGNORE
    return classes


def loss_arguments(target: torch.Tensor, *, n_heads: int, is_softmax: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Target and weights for the loss; weights lie behind the heads, where uncertain labels count less.

    With softmax, which has one class per voxel, the least certain head decides how much a voxel counts.
    """
    heads, weights = target[:, :n_heads], target[:, n_heads:]
    wanted = as_loss_target(heads, is_softmax=is_softmax)
    if not weights.shape[1]:
        return wanted, None
    shares = weights.float().div(FULL_WEIGHT).clamp(max=1)  # padding is above, and ignored
    return wanted, shares.amin(dim=1) if is_softmax else shares


class Prefetcher:
    """Makes the next batches in threads while the network learns from the present one.

    Parameters
    ----------
    samples : Samples
    recipe : Recipe
    divisor : tuple of int
        Of the network.
    n_threads : int
        0: no threads, each batch is made when it is needed.
    """

    def __init__(self, samples: Samples, recipe: Recipe, *, divisor: tuple[int, ...], n_threads: int = 1) -> None:
        self._samples = samples
        self._recipe = recipe
        self._divisor = divisor
        self._pool = ThreadPoolExecutor(n_threads) if n_threads else None

    def epoch(
        self, order: Order, epoch: int, first: int = 0, *, share: tuple[int, int] = (0, 1)
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of an epoch from position ``first`` on; ``share`` is (rank, processes)."""
        size = self._recipe.loop.batch_size
        rank, n_processes = share
        positions = [
            range(start + rank, min(start + size, len(order)), n_processes) for start in range(first, len(order), size)
        ]
        if self._pool is None:
            yield from (self._batch(order, epoch, own) for own in positions)
            return
        waiting: deque[Future[tuple[torch.Tensor, torch.Tensor]]] = deque()
        for own in positions:
            waiting.append(self._pool.submit(self._batch, order, epoch, own))
            if len(waiting) > N_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _batch(self, order: Order, epoch: int, positions: range) -> tuple[torch.Tensor, torch.Tensor]:
        pairs = []
        for position in positions:
            index, is_augmented = order[position]
            pairs.append(
                make_sample(
                    self._samples, self._recipe, index, is_augmented=is_augmented, epoch=epoch, position=position
                )
            )
        return stack(pairs, self._divisor)

    def close(self) -> None:
        """Stop the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
