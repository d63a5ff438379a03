"""Private batches, the uploads that they give, and how well those were inverted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from skimage import data as skimage_data
from torch import Tensor, nn

from fedsim.attacks import Observation, Reconstruction
from fedsim.attacks.functional import count_classes
from fedsim.clients.defenses import DefendedSteps, Defense, Private, protect
from fedsim.clients.training import differentiate, gradient
from fedsim.data import FashionMnistMini, load_dataset
from fedsim.models import LeNet, ModelSpec
from fedsim.scoring.metrics.images import psnr
from fedsim.scoring.metrics.matching import match

Shape = tuple[int, int, int]
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
HELD_OUT = ("stereo_motorcycle", "immunohistochemistry", "hubble_deep_field")
"""Photographs that do not come with fedsim, and on which no constant was tuned."""


@dataclass(frozen=True, eq=False)
class Victims:
    """Clients that each compute one gradient on a batch of their own.

    Attributes:
        model: the global model.
        images: ``(V, B, C, H, W)`` in [0, 1].
        labels: ``(V, B)``.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor

    def double(self) -> "Victims":
        """Return the same victims in double precision."""
        return Victims(self.model.double(), self.images.double(), self.labels)

    def observations(
        self, *defenses: Defense, labels_known: bool = False, seed: int = 0
    ) -> list[Observation]:
        """Return what the server sees of each client after its defenses."""
        names = {name for name, p in self.model.named_parameters() if p.requires_grad}
        seen = []
        for v, (images, labels) in enumerate(zip(self.images, self.labels, strict=True)):
            generator = torch.Generator().manual_seed(1000 * seed + v)
            steps = DefendedSteps(defenses, self._private(generator), generator, differentiate)
            batch = steps.protect((images, labels))
            arrays = gradient(self.model, batch, steps.compute).arrays
            upload = {name: arrays[name] for name in arrays if name in names}
            shared = protect(defenses, upload, generator).tensors
            known = labels if labels_known else None
            seen.append(Observation(shared, tuple(images.shape[1:]), len(images), known))
        return seen

    def _private(self, generator: torch.Generator) -> Private:
        images, labels = self.images.flatten(0, 1), self.labels.flatten()

        def draw(count: int) -> tuple[Tensor, Tensor]:
            chosen = torch.randint(len(images), (count,), generator=generator)
            return images[chosen], labels[chosen]

        classes = count_classes(self.model, tuple(images.shape[1:]))
        return Private(draw, classes, self.model)

    def psnr(self, found: Sequence[Reconstruction]) -> Tensor:
        """Return the PSNR in dB of each picture, matched within its batch, ``(V, B)``."""
        scores = []
        for truth, reconstruction in zip(self.images, found, strict=True):
            assert reconstruction.data is not None, reconstruction.error
            order = match(reconstruction.data, truth)
            scores.append(psnr(reconstruction.data[order], truth))
        return torch.stack(scores)

    def grey_psnr(self) -> Tensor:
        """Return the PSNR in dB of plain grey against each picture, ``(V, B)``."""
        pictures = self.images.flatten(0, 1)
        return psnr(torch.full_like(pictures, 0.5), pictures).view(self.labels.shape)


def random_victims(
    shape: Shape,
    *,
    count: int,
    batch_size: int = 1,
    classes: int = 4,
    spec: ModelSpec | None = None,
) -> Victims:
    """Return victims whose pictures are noise."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, batch_size, *shape, generator=generator)
    labels = torch.randint(classes, (count, batch_size), generator=generator)
    return Victims((spec or LeNet()).build(shape, classes, seed=0), images, labels)


def fashion_victims(
    count: int, *, batch_size: int = 1, shrink: int = 1, skip: int = 0, public: bool = False
) -> Victims:
    """Return victims with the embedded clothes and the paper's network.

    Args:
        count: how many victims.
        batch_size: pictures of each.
        shrink: the factor by which height and width are averaged down from 28.
        skip: victims to leave out first.
        public: whether they have pictures of the test split, which no reported victim has.
    """
    dataset = load_dataset(FashionMnistMini())
    split = dataset.test if public else dataset.train
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(split), generator=generator)[skip * batch_size :]
    images, labels = split.batch(chosen[: count * batch_size].numpy())
    images = nn.functional.avg_pool2d(images, shrink)
    shape: Shape = (1, 28 // shrink, 28 // shrink)
    return Victims(
        LeNet().build(shape, dataset.num_classes, seed=0),
        images.view(count, batch_size, *shape),
        labels.view(count, batch_size),
    )


def photograph_victims(count: int, *, classes: int = 100, held_out: bool = False) -> Victims:
    """Return victims with colour pictures of 32 x 32 cut from scikit-image's photographs.

    Each is a square of 128 x 128 at a place drawn at random, averaged down by 4, with a label
    drawn at random: the labels matter to the gradient, not whether they are true.

    Args:
        count: how many victims.
        classes: of the model.
        held_out: whether the photographs are `HELD_OUT`, else `PHOTOGRAPHS`.
    """
    generator = torch.Generator().manual_seed(0)
    names = HELD_OUT if held_out else PHOTOGRAPHS
    photographs = [_photograph(getattr(skimage_data, name)) for name in names]
    crops = [_crop(photographs[v % len(photographs)], generator) for v in range(count)]
    labels = torch.randint(classes, (count, 1), generator=generator)
    model = LeNet().build((3, 32, 32), classes, seed=0)
    return Victims(model, torch.stack(crops).unsqueeze(1), labels)


def _photograph(load: Callable[[], object]) -> Tensor:
    """Return a photograph ``(3, H, W)`` in [0, 1]."""
    loaded = load()  # of a stereo pair: left, right and their disparity
    left = loaded[0] if isinstance(loaded, tuple) else loaded
    return torch.as_tensor(left).permute(2, 0, 1).float() / 255


def _crop(photograph: Tensor, generator: torch.Generator, side: int = 128) -> Tensor:
    height, width = photograph.shape[1:]
    top = int(torch.randint(height - side, (), generator=generator))
    left = int(torch.randint(width - side, (), generator=generator))
    square = photograph[:, top : top + side, left : left + side]
    return nn.functional.avg_pool2d(square, side // 32)
