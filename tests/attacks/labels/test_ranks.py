"""The judge of label sequences against singular values computed one by one."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from fedsim.attacks.labels.ranks import RankJudge

pytestmark = pytest.mark.numeric

LANES, CLASSES, FEATURES = 3, 5, 9


def draw(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def judge(
    residual: Tensor, to_come: int, new: int, *, left: int = 9, again: Tensor | None = None
) -> RankJudge:
    lanes = len(residual)
    return RankJudge(
        residual,
        torch.full((lanes, CLASSES), left),
        draw(lanes, CLASSES).softmax(-1),
        draw(lanes, FEATURES),
        torch.zeros((lanes, CLASSES), dtype=torch.long) if again is None else again,
        to_come,
        new,
    )


def all_ways(new: int) -> Tensor:
    ways = list(itertools.combinations_with_replacement(range(CLASSES), new))
    return F.one_hot(torch.tensor(ways), CLASSES).sum(1).expand(LANES, -1, -1)


@pytest.mark.parametrize("to_come", [0, 1, 3])
@pytest.mark.parametrize("again", [0, 1])
def test_best_is_closest_to_the_rank(to_come: int, again: int) -> None:
    """The sum of squared singular values beyond the rank, by an SVD of each single residual."""
    residual, counts = draw(LANES, CLASSES, FEATURES), all_ways(2)
    seen = F.one_hot(torch.tensor([0, 2, 4]), CLASSES) * again
    p, h = draw(LANES, CLASSES).softmax(-1), draw(LANES, FEATURES)
    tails = torch.empty(counts.shape[:2], dtype=torch.float64)
    for lane, way in itertools.product(range(LANES), range(counts.shape[1])):
        error = p[lane] - (seen[lane] + counts[lane, way]) / (2 + again)
        values = torch.linalg.svdvals(residual[lane] - torch.outer(error, h[lane]))
        tails[lane, way] = (values[to_come:] ** 2).sum()
    order = tails.flatten().argsort()[:7]
    parents, chosen = judge(residual, to_come, 2, again=seen).best(counts, 7)
    assert parents.tolist() == (order // counts.shape[1]).tolist()
    assert torch.equal(chosen, counts.flatten(0, 1)[order])


def test_labels_that_are_used_up_are_not_taken() -> None:
    counts = all_ways(2)
    parents, chosen = judge(draw(LANES, CLASSES, FEATURES), 1, 2, left=1).best(counts, 1000)
    assert chosen.max() == 1
    assert len(parents) == LANES * 10  # pairs of different classes


def test_climbing_comes_to_a_top() -> None:
    """What is next to it is worse, and the way there leaves out what is impossible."""
    residual, start = draw(LANES, CLASSES, FEATURES), torch.tensor([[6, 0, 0, 0, 0]] * LANES)
    judging = judge(residual, 2, 6, left=6)
    near = judging.climb(start)
    assert near.shape == (LANES, 1 + CLASSES * (CLASSES - 1), CLASSES)
    assert (near.sum(-1) == 6).all()
    tails = judging._tails(near)
    assert (tails[:, :1] <= tails).all()
    assert (tails[:, 0] < judging._tails(start[:, None])[:, 0]).all()
    parents, chosen = judging.best(near, 1000)
    assert chosen.min() >= 0
    assert len(parents) < near.shape[0] * near.shape[1]
