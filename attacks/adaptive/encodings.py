"""Private pictures from many encodings of InstaHide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedsim.attacks.adaptive.public import PublicPictures
from fedsim.attacks.closed.dense import first_dense
from fedsim.attacks.functional import as_function, parameters
from fedsim.attacks.types import Observation
from fedsim.core.errors import AttackError
from fedsim.core.modules import last_linear

LEAST_SHARE = 0.02
"""Smaller shares are rounding errors, or say nothing about their pictures."""

# From encodings of public clothes.
ERROR_STDS = (0.3, 0.1, 0.03, 0.01)
"""Assumed errors of the encodings, one solution after the other."""
ITERATIONS = 60


class Encodings(NamedTuple):
    """Encodings that a client trained on, one for each upload.

    Attributes:
        pictures: ``(M, C, H, W)`` in [0, 1], with random signs about mid-grey.
        targets: mixed labels ``(M, classes)``: the share of each class.
    """

    pictures: Tensor
    targets: Tensor


def read_encodings(models: Sequence[nn.Module], observations: Sequence[Observation]) -> Encodings:
    """Return the encodings behind uploads of one example each, in closed form.

    A dense first layer gives the encoding by a division (see `DenseInversion`). The gradient of the
    last layer's bias is the difference of the probabilities, which the encoding gives, and the
    mixed label, so that this is exact too.

    Args:
        models: the global model that each upload answers.
        observations: the uploads.

    Raises:
        AttackError: an upload has several examples or steps or is zero, or a model has no dense
            layer with a bias at the beginning and the end.
    """
    read = [_read(model, seen) for model, seen in zip(models, observations, strict=True)]
    return Encodings(torch.stack([r[0] for r in read]), torch.stack([r[1] for r in read]))


def _read(model: nn.Module, observation: Observation) -> tuple[Tensor, Tensor]:
    """Return the encoding ``(C, H, W)`` and the mixed label ``(classes,)`` of an upload."""
    if observation.batch_size != 1 or observation.training is not None:
        raise AttackError(
            f"an upload of {observation.batch_size} examples: encodings are read from the gradient "
            "of one example and one step; search for them with 'dlg' and its answer to 'instahide'"
        )
    first, last = first_dense(model, observation.input_shape), last_linear(model)
    if last is None or last[1].bias is None:
        raise AttackError("the model has no last dense layer with a bias to read mixed labels from")
    outer = observation.gradient[f"{first}.weight"].double()
    delta = observation.gradient[f"{first}.bias"].double()
    size = delta @ delta
    if size == 0:
        raise AttackError(
            f"the gradient of '{first}.bias' is zero everywhere: nothing to divide by"
        )
    inputs = (delta @ outer / size).view(1, *observation.input_shape)
    like = next(model.parameters())
    logits = as_function(model)(parameters(model), inputs.to(like))[0]
    picture = observation.scale.on(inputs).from_input(inputs)[0]
    target = logits.double().softmax(-1) - observation.gradient[f"{last[0]}.bias"].double()
    return picture.to(like).clamp(0, 1), target.to(like).clamp(min=0)


def private_pictures(encodings: Encodings, public: PublicPictures) -> dict[int, Tensor]:
    """Return the private picture of each class ``(C, H, W)``, from all encodings together.

    Source: Carlini et al., Is Private Learning Possible with Instance Encoding?, IEEE S&P 2021
    (arXiv 2011.05315): the absolute value of an encoding, in [-1, 1], is that of the mixture; with
    the pictures of each encoding and their shares ``W`` known, the pictures ``x`` minimise the
    distance of ``|W x|`` from the absolute values. The paper finds ``W`` by a neural network that
    compares encodings; here the mixed labels show it, which is exact for a client with one picture
    of each class; several pictures of one class come out as their mean. All signs of a pixel can
    be reversed at once, which public pictures decide: the solution is the most probable one under
    Gaussian densities of the classes.

    Args:
        encodings: of one client, whose pictures are all private (InstaHide's inside-dataset
            variant).
        public: public pictures to learn the densities from.
    """
    shares = torch.where(encodings.targets >= LEAST_SHARE, encodings.targets, 0.0).double()
    shares = shares / shares.sum(1, keepdim=True)
    classes = [int(c) for c in shares.any(0).nonzero()]
    shares = shares[:, classes]
    sizes = (2 * encodings.pictures.flatten(1).double() - 1).abs()
    densities = [public.gaussian(c) for c in classes]
    means = torch.stack([d.mean for d in densities]).double()
    roots = torch.stack([torch.linalg.cholesky(d.covariance.double()) for d in densities])
    whitened = torch.zeros_like(means)
    for std in ERROR_STDS:
        whitened = _most_probable(whitened, std, shares, sizes, means, roots)
    found = _pictures(whitened, means, roots).view(-1, *encodings.pictures.shape[1:])
    return dict(zip(classes, found.to(encodings.pictures), strict=True))


def _most_probable(
    start: Tensor, std: float, shares: Tensor, sizes: Tensor, means: Tensor, roots: Tensor
) -> Tensor:
    """Return the whitened pictures ``(K, n)`` of the largest posterior density nearby.

    Args:
        start: ``(K, n)``.
        std: of the error of the absolute values.
        shares: ``(M, K)``.
        sizes: absolute values ``(M, n)``.
        means: of the densities, ``(K, n)``.
        roots: of their covariances, ``(K, n, n)``.
    """
    point = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [point], max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        mixtures = shares @ (2 * _pictures(point, means, roots) - 1)
        cost = (mixtures.abs() - sizes).square().sum() / (2 * std**2) + point.square().sum() / 2
        torch.autograd.backward(cost, inputs=[point])
        return cost

    with torch.enable_grad():
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return point.detach()


def _pictures(whitened: Tensor, means: Tensor, roots: Tensor) -> Tensor:
    """Return pictures ``(K, n)`` in [0, 1]."""
    return (means + torch.einsum("kij,kj->ki", roots, whitened)).clamp(0, 1)
