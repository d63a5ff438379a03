"""The partitioners of flwr-datasets, where that package is installed."""

import numpy as np
import pytest

from fedsim.core.errors import DataError
from fedsim.data.partitions import FlwrDatasets

pytest.importorskip("flwr_datasets")

LABELS = np.repeat(np.arange(5), 40)


@pytest.mark.parametrize(
    ("partitioner", "arguments"),
    [
        ("IidPartitioner", {}),
        ("LinearPartitioner", {}),
        ("DirichletPartitioner", {"alpha": 0.5, "min_partition_size": 1}),
        ("ShardPartitioner", {"num_shards_per_partition": 2}),
        ("PathologicalPartitioner", {"num_classes_per_partition": 2}),
        ("SizePartitioner", {"partition_sizes": [50, 50, 60, 40]}),
    ],
)
def test_partitioners_work(partitioner: str, arguments: dict[str, object]) -> None:
    rule = FlwrDatasets(partitioner=partitioner, arguments=arguments)  # type: ignore[arg-type]
    parts = rule.split(LABELS, 4, 1)
    assert sum(map(len, parts)) == 200
    assert all(map(np.array_equal, parts, rule.split(LABELS, 4, 1)))


def test_the_seed_reaches_the_partitioner() -> None:
    rule = FlwrDatasets(partitioner="DirichletPartitioner", arguments={"alpha": 1.0})
    first, second = rule.split(LABELS, 4, 1), rule.split(LABELS, 4, 2)
    assert not all(map(np.array_equal, first, second))


@pytest.mark.parametrize("name", ["DirichletPartitoner", "Partitioner", "annotations", "os"])
def test_only_partitioners_can_be_named(name: str) -> None:
    with pytest.raises(DataError, match=f"no partitioner '{name}'"):
        FlwrDatasets(partitioner=name).split(LABELS, 4, 1)


@pytest.mark.parametrize(
    ("partitioner", "arguments"),
    [
        ("DirichletPartitioner", {}),
        ("IidPartitioner", {"nonsense": 1}),
        ("NaturalIdPartitioner", {}),
        ("IdToSizeFncPartitioner", {"partition_id_to_size_fn": "print"}),
        ("VerticalEvenPartitioner", {}),
    ],
)
def test_arguments_that_do_not_fit(partitioner: str, arguments: dict[str, object]) -> None:
    rule = FlwrDatasets(partitioner=partitioner, arguments=arguments)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"cannot share|made 5 parts"):
        rule.split(LABELS, 4, 1)
