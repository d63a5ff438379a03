"""Client-side state of a scenario: data set, partitions, model, defenses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.clients.defenses import Private
from fedsim.clients.training import Batch
from fedsim.core.errors import DataError
from fedsim.core.modules import copied
from fedsim.core.registry import PARTITIONS
from fedsim.core.seeds import derive
from fedsim.data import Examples, IndexArray, Prepared, draw_batch, draw_epochs, load_dataset
from fedsim.data.joined import joined
from fedsim.models.blocks import with_block
from fedsim.models.losses import ClientLoss
from fedsim.models.own import PARTS
from fedsim.scenario import Scenario
from fedsim.scenario.holders import Holders


@dataclass(frozen=True, eq=False)
class Site:
    """A scenario with its loaded data, shared by all clients of one process."""

    scenario: Scenario
    dataset: Prepared
    partitions: Sequence[IndexArray]
    architecture: nn.Module

    def batches(self, partition: int, server_round: int) -> list[Batch]:
        """Return a client's private batches of a round, one for each local step."""
        chance = derive(self.scenario.seed, "batch chance", int(partition), int(server_round))
        return [
            self.dataset.train.batch(step, seed=derive(chance, number))
            for number, step in enumerate(self.drawn(partition, server_round))
        ]

    def different(self, partition: int, server_round: int) -> list[Batch]:
        """Return a client's different examples of a round, by the step that uses each first.

        Steps that use no new example are left out.
        """
        return self.each_once(partition, server_round, self.batches(partition, server_round))

    def each_once(self, partition: int, server_round: int, batches: Sequence[Batch]) -> list[Batch]:
        """Return the examples of a client's batches of a round, as `different` does."""
        if len(batches) == 1:  # no batch has an example twice
            return list(batches)
        drawn = self.drawn(partition, server_round)
        flat = np.concatenate(drawn)
        _, first = np.unique(flat, return_index=True)
        cuts = np.cumsum([len(step) for step in drawn])[:-1]
        new = np.split(np.isin(np.arange(flat.size), first), cuts)
        masks = [torch.from_numpy(step) for step in new]
        pairs = zip(batches, masks, strict=True)
        return [(x[mask], y[mask]) for (x, y), mask in pairs if mask.any()]

    def knows(self, partition: int, server_round: int) -> bool:
        """Return whether a client's private examples of a round are known for scoring."""
        return True

    def drawn(self, partition: int, server_round: int) -> list[IndexArray]:
        """Return the indices of a client's examples in each local step."""
        federation, own = self.scenario.federation, self.partitions[partition]
        if federation.local_epochs is not None:
            return draw_epochs(
                own,
                federation.batch_size,
                seed=self.scenario.seed,
                server_round=server_round,
                partition=partition,
                epochs=federation.local_epochs,
            )
        drawn = draw_batch(
            own,
            federation.batch_size,
            seed=self.scenario.seed,
            server_round=server_round,
            partition=partition,
            local_steps=federation.local_steps,
        )
        return list(drawn)

    def private(self, partition: int, model: nn.Module, generator: torch.Generator) -> Private:
        """Return the private data and the model that a client has besides its batch."""
        own = self.partitions[partition]

        def draw(count: int) -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(own), (count,), generator=generator)
            return self.dataset.train.batch(own[chosen.numpy()])

        return Private(draw, self.dataset.num_classes, model)

    @property
    def loss(self) -> ClientLoss:
        """Loss of the clients."""
        parts = getattr(self.architecture, PARTS, None)
        classes = self.dataset.train.targets is None
        return ClientLoss(self.scenario.federation.loss, parts, classes)

    def model(self, weights: Mapping[str, Tensor], block: str | None = None) -> nn.Module:
        """Return the model with the given weights, in the clients' mode.

        Args:
            weights: all tensors by name.
            block: name of a block that the server has inserted, or None.

        Raises:
            DataError: the block is unknown, or its tensors are missing.
        """
        model = copied(self.architecture)
        if block is not None:
            model = with_block(model, block, weights)
        model.load_state_dict(dict(weights))
        return model.train(self.architecture.training)


def open_site(scenario: Scenario) -> Site:
    """Load the data of a scenario and partition it among its clients.

    Raises:
        DataError: the data cannot be loaded, or are too few for the clients and their batches.
    """
    folder = scenario.data.data_dir
    place = Path(folder) if folder else None
    holders = scenario.holders()
    sources = {", ".join(h.groups): load_dataset(h.dataset, place) for h in holders}
    dataset, model = scenario.model.for_data(joined(sources), scenario.seed)
    sizes = [len(source.train) for source in sources.values()]
    partitions = _shared_out(holders, sizes, dataset.train, scenario.seed)
    site = Site(scenario, dataset, partitions, model)
    site.loss.check(dataset.num_classes)
    smallest = min(range(len(partitions)), key=lambda p: len(partitions[p]))
    size = scenario.federation.batch_size
    if not len(partitions[smallest]):
        raise DataError(f"client {smallest} has no examples; use fewer clients or more data")
    if len(partitions[smallest]) < size and scenario.federation.local_epochs is None:
        raise DataError(
            f"federation.batch_size = {size}, but client {smallest} has only "
            f"{len(partitions[smallest])} examples; use smaller batches, fewer clients or more data"
        )
    if scenario.adversary is not None and len(dataset.test) < size:
        raise DataError(
            f"federation.batch_size = {size}, but the data set has only {len(dataset.test)} test "
            "examples, of which the adversary's positive control needs a batch; use smaller batches"
        )
    return site


def _shared_out(
    holders: Sequence[Holders], sizes: Sequence[int], train: Examples, seed: int
) -> list[IndexArray]:
    """Return the indices of each client's examples, in the order of the clients.

    Args:
        holders: the data sets with their clients.
        sizes: number of training examples of each data set; they follow each other.
        train: the training examples of all data sets.
        seed: the run's seed.

    Raises:
        DataError: a rule cannot share a data set out.
    """
    found: dict[int, IndexArray] = {}
    begin = 0
    for each, size in zip(holders, sizes, strict=True):
        if train.targets is not None and each.partition.by_class:
            name = PARTITIONS.name_of(each.partition)
            raise DataError(
                f"data.partition: {name!r} shares classes out, and the targets are not classes; "
                "use 'iid' or 'sizes'"
            )
        labels = train.labels[begin : begin + size].numpy()
        parts = each.partition.split(labels, len(each.clients), seed)
        found |= {client: begin + part for client, part in zip(each.clients, parts, strict=True)}
        begin += size
    return [found[client] for client in range(len(found))]


@lru_cache(maxsize=2)
def site_of(scenario_toml: str) -> Site:
    """Return the site of a scenario's text, opened once per process."""
    return open_site(Scenario.from_toml(scenario_toml))
