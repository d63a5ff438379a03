"""Choice of victims: the same ones again for an attacker over rounds."""

from fedsim.scenario import Scenario
from fedsim.server.choosing import Choosing
from fedsim.server.uploads import Sum, Upload
from tests.fedsim.small import small


def choosing(*overrides: str) -> Choosing:
    case: Scenario = small("clients.0.count=8", "adversary={per_round=3}", *overrides)
    assert case.adversary is not None
    return Choosing(case, case.adversary)


def clients(found: list[Upload | Sum]) -> list[int]:
    return [p for upload in found for p in upload.partitions]


ALL = [Upload(p) for p in range(8)]
TOGETHER = "adversary.rounds_together=true"


def test_an_attacker_over_rounds_attacks_the_same_clients_in_each_round() -> None:
    own = choosing(TOGETHER)
    chosen = {tuple(clients(own.chosen(r, ALL))) for r in range(1, 9)}
    assert len(chosen) == 1
    assert sorted(*chosen) == clients(own.followed(ALL))
    assert len({tuple(clients(choosing().chosen(r, ALL))) for r in range(1, 9)}) > 1
    other = choosing(TOGETHER, "seed=77")
    assert clients(other.followed(ALL)) != clients(own.followed(ALL))


def test_clients_that_are_absent_are_replaced_but_not_followed() -> None:
    own = choosing(TOGETHER)
    first, *rest = clients(own.chosen(1, ALL))
    present = [u for u in ALL if u.partition != first]
    assert len(own.chosen(1, present)) == 3
    assert set(rest) < set(clients(own.chosen(1, present)))
    assert clients(own.followed(present)) == rest


def test_sums_and_all_clients_are_followed_without_a_maximum() -> None:
    everybody = choosing(TOGETHER, "adversary={rounds_together=true}")
    assert clients(everybody.followed(ALL)) == list(range(8))
    total = Sum(tuple(range(8)), {}, 8)
    assert choosing(TOGETHER).followed([total]) == [total]
