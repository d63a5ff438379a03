"""Examples of an audited app, as pictures in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor

from fedsim.attacks import Assumptions
from fedsim.core.errors import RunError
from fedsim.core.targets import Targets
from fedsim.core.tasks import Task
from fedsim.data import Dataset, Examples, FashionMnistMini, IndexArray

PUBLIC = 200
"""Number of public examples if the auditor gives none."""


@dataclass(eq=False)
class Tensors(Examples):
    """Examples in memory.

    Attributes:
        inputs: ``(N, C, H, W)`` in [0, 1].
        wanted: classes ``(N,)``, or targets of the loss ``(N, ...)``.
        labels: classes ``(N,)``; zeros if the targets are not classes.
        targets: targets ``(N, K)`` that are not classes, or None.
        task: what a model learns of them.
        alike: whether they are of the same kind as the app's.
    """

    inputs: Tensor
    wanted: Tensor
    labels: Tensor = field(init=False)
    targets: Targets | None = field(default=None, init=False)
    task: str = field(default=Task.CLASSIFY, init=False)
    alike: bool = True

    def __post_init__(self) -> None:
        if self.wanted.ndim == 1 and not self.wanted.is_floating_point():
            self.labels = self.wanted.long()
            return
        self.labels = torch.zeros(len(self.inputs)).long()
        self.targets = Targets.of_rows(self.wanted.unsqueeze(-1).flatten(1))
        self.task = self.targets.task

    def batch(self, indices: IndexArray, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return the examples at ``indices`` and their targets."""
        rows = torch.from_numpy(indices.astype("int64"))
        return self.inputs[rows], self.wanted[rows]

    def samples(self, most: int) -> tuple[Tensor, Tensor]:
        """Return examples ``(N, C, H, W)`` in [0, 1], evenly spread, and their classes."""
        rows = torch.linspace(0, len(self) - 1, min(len(self), most)).round().long()
        return self.inputs[rows], self.labels[rows]


@dataclass(frozen=True, eq=False)
class AppData:
    """The data of an audited app, of which only the public part is known.

    Attributes:
        name: name in reports.
        train: without examples of its own; joins those of clients.
        test: public examples.
        classes: a name for each output of the model.
    """

    name: str
    train: Tensors
    test: Tensors
    classes: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of outputs of the model."""
        return len(self.classes)


def as_targets(labels: Tensor) -> Tensor:
    """Return labels as the loss takes them: classes ``(N,)``, or targets as floating numbers."""
    if labels.ndim == 1 and not labels.is_floating_point():
        return labels.long()
    return labels.float()


def picture_shape(input_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the shape ``(C, H, W)`` as which examples are attacked and shown.

    Examples that are not pictures become one row of values.
    """
    if len(input_shape) == 3:
        channels, height, width = input_shape
        return channels, height, width
    if len(input_shape) == 2:
        return 1, *input_shape
    return 1, 1, int(torch.Size(input_shape).numel())


def pictures(inputs: Tensor, input_shape: tuple[int, ...], assumed: Assumptions) -> Tensor:
    """Return inputs of the app's model as pictures ``(N, C, H, W)``, in [0, 1] if all is right.

    Args:
        inputs: ``(N, *input_shape)``, as the app's model takes them.
        input_shape: shape of an example.
        assumed: the normalisation between pictures and inputs.

    Raises:
        RunError: the inputs have another shape.
    """
    if tuple(inputs.shape[1:]) != input_shape:
        raise RunError(
            f"examples of shape {tuple(inputs.shape[1:])}: expected (N, *{input_shape}), as the "
            "model takes them"
        )
    shape = picture_shape(input_shape)
    flat = inputs.detach().cpu().float().reshape(len(inputs), *shape)
    return assumed.scale(shape).on(flat).from_input(flat)


@cache
def clothes() -> Dataset:
    """Return the pictures of clothes that serve as public examples, unpacked once."""
    return FashionMnistMini().load(None)


def public_examples(input_shape: tuple[int, ...], outputs: int, *, classes: bool) -> Tensors:
    """Return public examples for an app whose auditor gives none.

    Pictures of clothes (Fashion-MNIST) in the shape of the app's, with evenly spread classes;
    uniform noise for examples that are not pictures.

    Args:
        input_shape: shape of an example of the app.
        outputs: size of the model's output.
        classes: whether the outputs are classes; otherwise the targets are bits.
    """
    shape, generator = picture_shape(input_shape), torch.Generator().manual_seed(0)
    if shape[1] > 1:
        inputs = resized(clothes().test.samples(PUBLIC)[0], shape)
    else:
        inputs = torch.rand((PUBLIC, *shape), generator=generator)
    targets = torch.arange(len(inputs)) % outputs
    if not classes:
        targets = torch.randint(0, 2, (len(inputs), outputs), generator=generator).float()
    return Tensors(inputs, targets, alike=False)


def resized(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return grey pictures ``(N, 1, H, W)`` in [0, 1] in another shape ``(C, H, W)``."""
    sized = F.interpolate(images, shape[1:], mode="bilinear", antialias=True, align_corners=False)
    return sized.clamp(0, 1).expand(-1, shape[0], -1, -1).contiguous()
