"""Snapshots are taken early and often, then ever more rarely."""

import torch

from fedsim.attacks.matching.snapshots import Emergence, snapshot_times


def test_times() -> None:
    assert sorted(snapshot_times(100)) == [1, 8, 11, 16, 22, 32, 33, 45, 64, 66, 90]
    assert snapshot_times(1) == {1}
    assert len(snapshot_times(100_000)) < 32


def test_each_lane_has_its_own_history() -> None:
    emergence = Emergence(lambda points, _lanes: points.view(-1, 1, 2).clamp(0, 1), limit=20)
    points = torch.tensor([[0.0, 2.0], [0.5, 1.0], [0.25, -1.0]])
    values = torch.tensor([3.0, 2.0, 1.0])
    emergence.look(1, torch.tensor([0, 1, 2]), points, values)
    emergence.look(2, torch.tensor([0, 1, 2]), points, values)
    emergence.look(8, torch.tensor([0, 2]), points[[0, 2]] / 2, values[[0, 2]] / 2)
    histories = [emergence.take(lane) for lane in range(3)]
    assert [[s.evaluation for s in lane] for lane in histories] == [[1, 8], [1], [1, 8]]
    assert [s.objective for s in histories[2]] == [1, 0.5]
    assert histories[0][0].data.tolist() == [[0, 1]]
    assert emergence.take(0) == []


def test_a_snapshot_is_a_copy() -> None:
    emergence = Emergence(lambda points, _lanes: points.view(-1, 1, 1), limit=1)
    point = torch.tensor([[0.5]])
    emergence.look(1, torch.tensor([0]), point, torch.tensor([1.0]))
    point.zero_()
    assert emergence.take(0)[0].data.tolist() == [[0.5]]
