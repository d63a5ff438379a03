"""Snapshots of emerging reconstructions."""

from collections import defaultdict
from collections.abc import Callable

from torch import Tensor

from fedsim.attacks.types import Snapshot

FIRST = 8
GROWTH = 2**0.5


def snapshot_times(limit: int) -> set[int]:
    """Return the evaluations of snapshots: 1, 8, 11, 16, 22, 32, ... up to the limit.

    Most of a picture emerges early, so the times are spaced by ratio, not by difference. One third
    and two thirds of the limit are added, because figures show four moments.
    """
    times, t = {1, limit // 3, 2 * limit // 3} - {0}, float(FIRST)
    while t <= limit:
        times.add(int(t))
        t *= GROWTH
    return times


class Emergence:
    """Keeps the snapshots of each running lane.

    Args:
        to_data: turns points ``(A, n)`` of lanes ``(A,)`` into data ``(A, batch_size, ...)``.
        limit: maximum number of evaluations of a lane.
    """

    def __init__(self, to_data: Callable[[Tensor, Tensor], Tensor], limit: int) -> None:
        self._to_data = to_data
        self._times = snapshot_times(limit)
        self._history: dict[int, list[Snapshot]] = defaultdict(list)

    def look(self, evaluation: int, lanes: Tensor, points: Tensor, values: Tensor) -> None:
        """Take a snapshot of the running lanes if one is due."""
        if evaluation in self._times:
            data = self._to_data(points, lanes).cpu()
            for row, (lane, value) in enumerate(zip(lanes.tolist(), values.tolist(), strict=True)):
                self._history[lane].append(Snapshot(evaluation, value, data[row].clone()))

    def take(self, lane: int) -> list[Snapshot]:
        """Return a lane's snapshots, earliest first, and discard them."""
        return self._history.pop(lane, [])
