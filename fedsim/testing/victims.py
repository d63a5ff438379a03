"""Small victims for the contract of attacks: a model and observations of its clients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.attacks import Observation
from fedsim.clients.defenses import DefendedSteps, Defense, Private, protect
from fedsim.clients.training import differentiate, gradient
from fedsim.core.modality import PICTURES, TEXTS, suits
from fedsim.data import load_dataset
from fedsim.data.texts import Messages
from fedsim.models import MLP, Bert, LeNet, ModelSpec, ViT

PICTURE, CLASSES = (1, 8, 8), 4
MODELS: dict[str, ModelSpec] = {
    "lenet": LeNet(),
    "mlp": MLP(hidden=(96,), activation="relu"),
    "vit": ViT(patch=4, width=12, depth=1, heads=2),
}
PICTURES_OF = (("lenet", 1), ("lenet", 2), ("mlp", 1), ("vit", 1))
"""Models and batch sizes."""


@dataclass(frozen=True, eq=False)
class Case:
    """A model and observations of clients that trained on small random pictures, or on texts.

    Attributes:
        what: description.
        modality: of the examples.
        model: the global model.
        observations: one for each client.
        examples: the private batches, in the shape of a reconstruction.
        labels: the batches' labels; None if the task has no labels.
    """

    what: str
    modality: str
    model: nn.Module
    observations: list[Observation]
    examples: list[Tensor]
    labels: list[Tensor]


def cases(modalities: frozenset[str] | None, *, dtype: torch.dtype = torch.float32) -> list[Case]:
    """Return cases for the modalities that an attack supports."""
    found = []
    if suits(modalities, PICTURES):
        found += [pictures(model, size, dtype) for model, size in PICTURES_OF]
    if suits(modalities, TEXTS):
        found += [texts(task, dtype) for task in ("masked", "classify")]
    return found


def pictures(model: str, batch_size: int, dtype: torch.dtype = torch.float32) -> Case:
    """Return two clients with pictures of noise."""
    generator = torch.Generator().manual_seed(0)
    network = MODELS[model].build(PICTURE, CLASSES, seed=0).to(dtype)
    images = torch.rand(2, batch_size, *PICTURE, generator=generator).to(dtype)
    labels = torch.randint(CLASSES, (2, batch_size), generator=generator)
    pairs = list(zip(images, labels, strict=True))
    seen = [_seen(network, pair, PICTURE, labels=pair[1]) for pair in pairs]
    what = f"{model}, batches of {batch_size}"
    return Case(what, PICTURES, network, seen, list(images), list(labels))


def defended(case: Case, defense: Defense, seed: int) -> list[Observation]:
    """Return the observations of a case's clients, all of them with a defense.

    Args:
        case: of pictures.
        defense: of each client.
        seed: of its random draws.
    """
    seen = []
    for number, pair in enumerate(zip(case.examples, case.labels, strict=True)):
        generator = torch.Generator().manual_seed(1000 * seed + number)
        private = Private(lambda count, pair=pair: _drawn(pair, count), CLASSES, case.model)  # type: ignore[misc]
        steps = DefendedSteps([defense], private, generator, differentiate)
        arrays = gradient(case.model, steps.protect(pair), steps.compute).arrays
        clear = case.observations[number]
        upload = protect([defense], {k: arrays[k] for k in clear.gradient}, generator).tensors
        seen.append(replace(clear, gradient=upload))
    return seen


def _drawn(pair: tuple[Tensor, Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Return examples of a private batch, from its first on."""
    chosen = torch.arange(count) % len(pair[0])
    return pair[0][chosen], pair[1][chosen]


@cache
def texts(task: str, dtype: torch.dtype = torch.float32) -> Case:
    """Return two clients that fine-tune a tiny BERT on one message each."""
    spec = Bert(task=task, layers=1, width=16, heads=2)  # type: ignore[arg-type]
    data, model = spec.for_data(load_dataset(Messages()), 0)  # type: ignore[arg-type]
    model.to(dtype).eval()
    seen, truths, labels = [], [], []
    for index in (3, 5):
        inputs, targets = data.train.batch(np.array([index]), seed=index)
        lengths = tuple(data.train.lengths([inputs]))
        observation = _seen(model, (inputs, targets), (inputs.shape[1],), lengths=lengths)
        seen.append(observation)
        truths.append(data.train.originals(inputs, targets))
        labels.append(targets)
    return Case(f"texts, {task}", TEXTS, model, seen, truths, labels)


def _seen(
    model: nn.Module,
    batch: tuple[Tensor, Tensor],
    shape: tuple[int, ...],
    labels: Tensor | None = None,
    lengths: tuple[int, ...] | None = None,
) -> Observation:
    shared = {name for name, p in model.named_parameters() if p.requires_grad}
    arrays = gradient(model, batch).arrays
    upload = {name: tensor for name, tensor in arrays.items() if name in shared}
    return Observation(upload, shape, len(batch[0]), labels, lengths=lengths)
