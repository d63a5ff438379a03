"""The private batches that a client trains on."""

import numpy as np

from fedsim.core.errors import DataError
from fedsim.core.seeds import derive
from fedsim.data.types import IndexArray


def draw_batch(
    indices: IndexArray,
    batch_size: int,
    *,
    seed: int,
    server_round: int,
    partition: int,
    local_steps: int = 1,
) -> IndexArray:
    """Draw the batches of one client in one round.

    A pure function of its arguments, so that the scorer can draw the same batches again. Images
    are drawn without replacement: every image is used once before any is used twice, and no
    batch holds an image twice, even if one pass over the partition ends inside it.

    Args:
        indices: ``(N,)`` the positions of the partition's images in the training set.
        batch_size: number of images in each batch.
        seed: the run's seed.
        server_round: number of the round.
        partition: number of the partition.
        local_steps: number of batches.

    Returns:
        ``(local_steps, batch_size)`` entries of ``indices``.

    Raises:
        DataError: a batch needs more images than the partition has, or is empty.
    """
    if batch_size < 1 or local_steps < 1:
        raise DataError(
            f"cannot draw {local_steps} batches of {batch_size} images: expected at least 1 of "
            "each."
        )
    if batch_size > len(indices):
        raise DataError(
            f"partition {partition} has {len(indices)} images, fewer than a batch of "
            f"{batch_size}: use smaller batches, fewer clients, or a partition with more images "
            "for each."
        )
    # Plain integers, because the seed depends on how a number is written.
    rng = np.random.default_rng(derive(seed, "batch", int(partition), int(server_round)))
    order = rng.permutation(indices)
    while len(order) < local_steps * batch_size:
        begun = order[len(order) - len(order) % batch_size :]
        order = np.concatenate([order, _next_pass(rng.permutation(indices), begun, batch_size)])
    return order[: local_steps * batch_size].reshape(local_steps, batch_size).astype(np.int64)


def draw_epochs(
    indices: IndexArray,
    batch_size: int,
    *,
    seed: int,
    server_round: int,
    partition: int,
    epochs: int,
) -> list[IndexArray]:
    """Draw the batches of one client in one round that makes whole passes over its images.

    Every pass shuffles all images anew and cuts them into batches, the last of which may be
    smaller, as a PyTorch ``DataLoader`` does. A pure function of its arguments; the first pass has
    the order of `draw_batch`.

    Args:
        indices: ``(N,)`` the positions of the partition's images in the training set, N > 0.
        batch_size: number of images in each batch, at most.
        seed: the run's seed.
        server_round: number of the round.
        partition: number of the partition.
        epochs: number of passes.

    Returns:
        For each step, entries of ``indices``, ``(batch_size,)`` or fewer.
    """
    rng = np.random.default_rng(derive(seed, "batch", int(partition), int(server_round)))
    cuts = np.arange(batch_size, len(indices), batch_size)
    passes = [rng.permutation(indices).astype(np.int64) for _ in range(epochs)]
    return [batch for one in passes for batch in np.split(one, cuts)]


def _next_pass(fresh: IndexArray, begun: IndexArray, batch_size: int) -> IndexArray:
    """Reorder ``fresh`` so that the images that complete the ``begun`` batch are not repeated."""
    if len(begun) == 0:
        return fresh
    completing = fresh[~np.isin(fresh, begun)][: batch_size - len(begun)]
    return np.concatenate([completing, fresh[~np.isin(fresh, completing)]])
