"""Attacks on whole local trainings, each on one client in a process of its own."""

import copy
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from fedsim.attacks import (
    IDLG,
    SGD,
    Adam,
    InvertingGradients,
    LocalOptimiser,
    LocalTraining,
    Observation,
    Surrogate,
)
from fedsim.attacks.functional import parameters
from fedsim.attacks.labels.known import known_or_inferred
from fedsim.attacks.matching.attack import GradientMatching
from fedsim.attacks.matching.client import Client
from fedsim.clients.training import local_training
from fedsim.scenario import optimizers
from tests.victims import Victims, fashion_victims

T = TypeVar("T")
R = TypeVar("R")

EXAMPLES, BATCH = 8, 4
EVALUATIONS = 300
GRADIENTS = 2000
"""Gradients of an unrolled search at most: 200 evaluations of 10 steps, 100 of 20."""

OPTIMISERS: dict[str, tuple[optimizers.Optimizer, LocalOptimiser]] = {
    "sgd": (optimizers.Sgd(), SGD()),
    "momentum": (optimizers.Sgd(momentum=0.9), SGD(momentum=0.9)),
    "adam": (optimizers.Adam(), Adam()),
}
RATES = {
    "sgd": (0.003, 0.01, 0.03),
    "momentum": (0.003, 0.01, 0.02),
    "adam": (0.0003, 0.001, 0.003),
}
WAYS: dict[str, GradientMatching] = {
    "unrolled": IDLG(evaluations=EVALUATIONS),
    "surrogate": Surrogate(evaluations=EVALUATIONS),
    "averaged": IDLG(evaluations=EVALUATIONS, local_steps="average"),
    "averaged, prior": InvertingGradients(evaluations=EVALUATIONS, local_steps="average"),
}


@dataclass(frozen=True)
class Cell:
    """One attack on one client.

    Attributes:
        optimiser: name in `OPTIMISERS`, at the largest of its `RATES`.
        epochs: passes over the client's examples.
        way: name in `WAYS`.
        client: number of the client.
    """

    optimiser: str
    epochs: int
    way: str
    client: int

    @property
    def steps(self) -> int:
        """Number of local steps."""
        return self.epochs * EXAMPLES // BATCH


@dataclass(frozen=True)
class Measured:
    """Result of an attack on one client.

    Attributes:
        psnr: PSNR in dB of each picture.
        seconds: duration on one core, with the search of labels.
        evaluations: evaluations of the objective.
        gradients: gradients in one of them.
    """

    psnr: tuple[float, ...]
    seconds: float
    evaluations: int
    gradients: int


def observe(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    name: str,
    rate: float,
    epochs: int = 1,
    batch: int = BATCH,
) -> Observation:
    """Return the observation of a client that shuffles its data before each epoch."""
    optimizer, optimiser = OPTIMISERS[name]
    generator, count = torch.Generator().manual_seed(epochs), len(images)
    orders = [torch.randperm(count, generator=generator) for _ in range(epochs)]
    batches = [(images[s], labels[s]) for order in orders for s in order.split(batch)]
    after = local_training(copy.deepcopy(model), batches, rate, optimizer=optimizer).arrays
    training = LocalTraining.of_epochs(rate, epochs, batch, count, optimiser=optimiser)
    shape, before = tuple(images.shape[1:]), parameters(model)
    return Observation.from_training(before, after, training, input_shape=shape, examples=count)


def measured(cell: Cell) -> Measured:
    """Return the result of one attack on one client whose labels are public as a multiset."""
    victims = fashion_victims(1, batch_size=EXAMPLES, skip=cell.client)
    images, labels = victims.images[0], victims.labels[0]
    name = cell.optimiser
    seen = observe(victims.model, images, labels, name, RATES[name][-1], cell.epochs)
    attack = WAYS[cell.way]
    if cell.way == "unrolled":
        attack = replace(attack, evaluations=min(EVALUATIONS, GRADIENTS // cell.steps))
    return attacked(attack, victims, replace(seen, labels=labels.sort().values))


def right_counts(task: tuple[str, float, int]) -> int:
    """Return the number of labels of a client that are right after one epoch, without their order.

    Args:
        task: name of the optimiser, its learning rate, number of the client.
    """
    name, rate, client = task
    victims = fashion_victims(1, batch_size=EXAMPLES, skip=client)
    seen = observe(victims.model, victims.images[0], victims.labels[0], name, rate)
    found = known_or_inferred(victims.model, seen, evaluations=EVALUATIONS)[0]
    counts = [torch.bincount(y, minlength=10) for y in (found, victims.labels[0])]
    return int(torch.minimum(*counts).sum())


def attacked(attack: GradientMatching, victims: Victims, seen: Observation) -> Measured:
    """Return the result of an attack on the only victim."""
    began = time.perf_counter()
    [found] = attack.run(victims.model, [seen])
    seconds = time.perf_counter() - began
    psnr = victims.psnr([found])[0].tolist()
    cost = gradients(attack, victims.model, seen, victims.images[0])
    return Measured(tuple(psnr), seconds, found.evaluations, cost)


def gradients(attack: GradientMatching, model: nn.Module, seen: Observation, images: Tensor) -> int:
    """Return the number of gradients in one evaluation of an attack."""
    calls, plain = 0, Client._gradient

    def count(self, *given):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        return plain(self, *given)

    assert seen.labels is not None
    Client._gradient = count  # type: ignore[method-assign]
    try:
        attack.relative_objective_of(model, seen, images, seen.labels)
    finally:
        Client._gradient = plain  # type: ignore[method-assign]
    return calls


def in_processes(function: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    """Return the results of tasks, in order; each runs on one of the cores that are there."""
    context = multiprocessing.get_context("spawn")
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(
        cores, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        return list(pool.map(function, tasks))
