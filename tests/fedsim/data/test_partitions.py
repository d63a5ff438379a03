import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fedsim.core.errors import DataError
from fedsim.core.registry import PARTITIONS
from fedsim.data.partitions import ByClass, Dirichlet, FlwrDatasets, Iid, Partition, Shards

BALANCED = np.repeat(np.arange(10), 60)
RULES = [
    Iid(),
    Dirichlet(),
    Dirichlet(alpha=1e-3),
    Dirichlet(alpha=100.0, min_images=3),
    Shards(),
    Shards(shards_per_client=1),
    ByClass(classes_per_client=3),
    ByClass(classes_per_client=10),
]
some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(np.array)


def all_positions(parts: list[np.ndarray]) -> list[int]:
    return sorted(np.concatenate(parts).tolist())


def test_all_partitions_are_registered() -> None:
    assert set(PARTITIONS.names()) >= {"by-class", "dirichlet", "flwr-datasets", "iid", "shards"}


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("clients", [1, 4, 13])
def test_contract(rule: Partition, clients: int) -> None:
    order = np.random.default_rng(1).permutation(BALANCED)
    parts = rule.split(order, clients, seed=5)
    assert len(parts) == clients
    assert all(part.dtype == np.int64 and len(part) for part in parts)
    assert all((np.diff(part) > 0).all() for part in parts)
    held = all_positions(parts)
    assert len(set(held)) == len(held)
    covers = not isinstance(rule, ByClass) or clients * rule.classes_per_client >= 10
    assert (held == list(range(600))) == covers
    again = rule.split(order, clients, seed=5)
    assert all(map(np.array_equal, parts, again))
    other = rule.split(order, clients, seed=6)
    assert clients == 1 or not all(map(np.array_equal, parts, other))


@settings(deadline=None)
@given(labels=some_labels, clients=st.integers(1, 90), seed=st.integers(0, 2**40))
@pytest.mark.parametrize("rule", [Iid(), Dirichlet(), Dirichlet(alpha=1e-6)], ids=str)
def test_any_labels_are_covered(
    rule: Partition, labels: np.ndarray, clients: int, seed: int
) -> None:
    if clients > len(labels):
        with pytest.raises(DataError, match=f"{len(labels)} images out among {clients} clients"):
            rule.split(labels, clients, seed)
    else:
        assert all_positions(rule.split(labels, clients, seed)) == list(range(len(labels)))


@settings(deadline=None)
@given(labels=some_labels, clients=st.integers(1, 20), per_client=st.integers(1, 5))
def test_shards_cover_or_say_why_not(labels: np.ndarray, clients: int, per_client: int) -> None:
    rule = Shards(shards_per_client=per_client)
    if clients * per_client > len(labels):
        with pytest.raises(DataError):
            rule.split(labels, clients, 0)
    else:
        assert all_positions(rule.split(labels, clients, 0)) == list(range(len(labels)))


@settings(deadline=None)
@given(labels=some_labels, clients=st.integers(1, 20), classes=st.integers(1, 5))
def test_by_class_holds_so_many_classes_or_says_why_not(
    labels: np.ndarray, clients: int, classes: int
) -> None:
    try:
        parts = ByClass(classes_per_client=classes).split(labels, clients, 0)
    except DataError as error:
        assert str(len(labels)) in str(error) or "class" in str(error)  # noqa: PT017
    else:
        assert all(len(np.unique(labels[part])) == classes for part in parts)


def test_iid_hands_out_so_many_at_most() -> None:
    parts = Iid(examples=2).split(BALANCED, 7, 0)
    assert [len(part) for part in parts] == [2] * 7
    assert len(np.unique(np.concatenate(parts))) == 14


def test_iid_sizes_are_equal() -> None:
    sizes = {len(part) for part in Iid().split(BALANCED, 7, 0)}
    assert sizes == {85, 86}


def test_a_small_alpha_is_more_skewed_than_a_large_one() -> None:
    def skew(alpha: float) -> float:
        parts = Dirichlet(alpha=alpha).split(BALANCED, 10, 0)
        counts = np.stack([np.bincount(BALANCED[part], minlength=10) for part in parts])
        return float((counts.max(1) / counts.sum(1)).mean())

    assert skew(0.05) > 0.5
    assert skew(1000) < 0.15


@pytest.mark.parametrize("alpha", [1e-300, 1e-6, 0.05])
def test_dirichlet_leaves_nobody_short(alpha: float) -> None:
    parts = Dirichlet(alpha=alpha, min_images=20).split(BALANCED, 30, 0)
    assert min(map(len, parts)) == 20
    with pytest.raises(DataError, match="min_images = 21 of 600"):
        Dirichlet(alpha=alpha, min_images=21).split(BALANCED, 30, 0)


def test_shards_give_few_classes() -> None:
    parts = Shards(shards_per_client=2).split(BALANCED, 10, 0)
    assert max(len(np.unique(BALANCED[part])) for part in parts) <= 2
    assert {len(part) for part in parts} == {60}


def test_by_class_deals_evenly() -> None:
    parts = ByClass(classes_per_client=2).split(BALANCED, 10, 0)
    assert {len(part) for part in parts} == {60}
    with pytest.raises(DataError, match="classes_per_client = 11"):
        ByClass(classes_per_client=11).split(BALANCED, 2, 0)


@pytest.mark.parametrize("clients", [0, -1])
def test_no_clients(clients: int) -> None:
    with pytest.raises(DataError, match="expected 1 or more"):
        Iid().split(BALANCED, clients, 0)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([[0, 1]], "made 1 parts"),
        ([[0, 1], []], "client 1"),
        ([[0, 1], [1]], "to two clients"),
        ([[0], [600]], "does not exist"),
        ([[0], [-1]], "does not exist"),
    ],
)
def test_a_rule_that_breaks_the_contract(parts: list[list[int]], words: str) -> None:
    class Broken(Partition):
        def assign(self, *_: object) -> list[np.ndarray]:
            return [np.array(part, dtype=np.int64) for part in parts]

    with pytest.raises(DataError, match=words):
        Broken().split(BALANCED, 2, 0)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("dirichlet", {"alpha": 0.0}),
        ("dirichlet", {"alpha": float("nan")}),
        ("dirichlet", {"min_images": 0}),
        ("shards", {"shards_per_client": 0}),
        ("by-class", {"classes_per_client": 0}),
        ("flwr-datasets", {}),
        ("flwr-datasets", {"partitioner": "IidPartitioner", "arguments": {"f": print}}),
        ("iid", {"nonsense": 1}),
    ],
)
def test_wrong_parameters(name: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PARTITIONS.get(name)(**wrong)


def test_flower_datasets_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "flwr_datasets.partitioner", None)
    with pytest.raises(DataError, match=r"pip install 'fedsim-leakage\[partitioners\]'"):
        FlwrDatasets(partitioner="IidPartitioner").split(BALANCED, 3, 0)
