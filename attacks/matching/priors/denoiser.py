"""A small denoiser, trained on public images."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812  (the name that everybody knows)
from torch import Tensor, nn
from torch.nn.utils import skip_init

from fedsim.core.seeds import derive

RANK = 64
WIDTH = 16
STEPS = 400
BATCH_SIZE = 8
LEARNING_RATE = 5e-3
NOISE_STD = (0.02, 0.3)
"""Range of the noise levels in training."""

_SIDE = 32


class Denoiser(nn.Module):
    """Energy of a gradient-step denoiser.

    Hurault, Leclaire, Papadakis, ICLR 2022 (arXiv 2110.03220), equation 6: the denoised image is
    ``x - t^2 * gradient of E(x, t)`` with ``E(x, t) = |x - N(x, t)|^2 / (2 t^2)`` and a network N.
    If this is the best denoiser at noise of standard deviation t, E is minus the logarithm of the
    density of noisy images up to a constant (Tweedie's formula), and so a prior in its natural
    unit. Our N differs from the paper's: the best linear denoiser, which follows from the mean and
    the covariance of the images, plus a correction by three convolutions of the image and this
    estimate. It needs only a few hundred images and seconds of training.

    Args:
        images: public images ``(N, C, H, W)`` in [0, 1].
        generator: generator of the initial weights.
    """

    mean: Tensor
    basis: Tensor
    variances: Tensor
    residual: Tensor

    def __init__(self, images: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = images.shape[1:]
        mean, basis, variances, residual = _principal_components(images.flatten(1))
        self.register_buffer("mean", mean)
        self.register_buffer("basis", basis)
        self.register_buffer("variances", variances)
        self.register_buffer("residual", residual)
        channels, side = images.shape[1], min(images.shape[2:])
        fold = max(1, side // _SIDE)
        self._fold = fold if all(size % fold == 0 for size in images.shape[2:]) else 1
        folded = channels * self._fold**2
        self.correction = nn.Sequential(
            _convolution(2 * folded + 1, WIDTH, generator),
            nn.SiLU(),
            _convolution(WIDTH, WIDTH, generator),
            nn.SiLU(),
            _convolution(WIDTH, folded, generator, scale=0.1),
        )

    def forward(self, images: Tensor, noise_std: Tensor) -> Tensor:
        """Return the energy of each image, ``(N,)``.

        Args:
            images: ``(N, C, H, W)``.
            noise_std: standard deviation t of the noise for each image, ``(N,)``.
        """
        t = noise_std[:, None]
        linear = self._linear(images.flatten(1), t).view(images.shape)
        folded = F.pixel_unshuffle(torch.cat([images, linear], dim=1), self._fold)
        level = t[:, :, None, None].expand(-1, 1, *folded.shape[2:])
        correction = self.correction(torch.cat([folded, level], dim=1))
        residual = images - linear - F.pixel_shuffle(correction, self._fold)
        energy: Tensor = (residual.flatten(1) ** 2).sum(1) / (2 * noise_std**2)
        return energy

    def _linear(self, flat: Tensor, t: Tensor) -> Tensor:
        """Return the best linear estimate (Wiener filter) for images at noise t, ``(N, n)``."""
        centred = flat - self.mean
        outside = self.residual / (self.residual + t**2)
        inside = self.variances / (self.variances + t**2) - outside
        return self.mean + outside * centred + (inside * (centred @ self.basis)) @ self.basis.T


def train_denoiser(images: Tensor, seed: int = 0, steps: int = STEPS) -> Denoiser:
    """Return a denoiser trained on images. Takes seconds on one core.

    Args:
        images: public images ``(N, C, H, W)`` in [0, 1], float32 on the CPU, at least two and
            at most a few thousand.
        seed: seed of the training.
        steps: number of Adam steps.
    """
    generator = torch.Generator().manual_seed(derive(seed, "denoiser"))
    denoiser = Denoiser(images, generator)
    weights = list(denoiser.parameters())
    optimiser = torch.optim.Adam(weights, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    with torch.enable_grad():
        for _ in range(steps):
            clean = images[torch.randint(len(images), (BATCH_SIZE,), generator=generator)]
            optimiser.zero_grad()
            _loss(denoiser, clean, generator).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            schedule.step()
    return denoiser.requires_grad_(False)


def _loss(denoiser: Denoiser, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Return the squared error of denoising, relative to the noise."""
    low, high = (math.log(std) for std in NOISE_STD)
    t = torch.empty(len(clean)).uniform_(low, high, generator=generator).exp()
    scale = t.view(-1, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=generator)
    noisy = (clean + scale * noise).requires_grad_()
    [slope] = torch.autograd.grad(denoiser(noisy, t).sum(), noisy, create_graph=True)
    return ((noise - scale * slope) ** 2).mean()


def _principal_components(flat: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the mean, an orthonormal basis, the variances along it and outside it."""
    count, size = flat.shape
    mean = flat.mean(0)
    centred = (flat - mean).double()
    # Fewer images than pixels, or few enough: use the n x n matrix of their products.
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    rank = min(RANK, count - 1, size - 1)
    values, vectors = values.clamp(min=0), vectors[:, count - rank :]
    lengths = values[count - rank :].sqrt().clamp(min=1e-6)
    residual = values[: count - rank].sum() / count / (size - rank)
    basis = centred.T @ vectors / lengths
    variances = values[count - rank :] / count
    return mean, basis.float(), variances.float(), residual.float()


def _convolution(
    inputs: int, outputs: int, generator: torch.Generator, scale: float = 1.0
) -> nn.Conv2d:
    # Created without weights, because PyTorch draws them from its global random state.
    layer: nn.Conv2d = skip_init(nn.Conv2d, inputs, outputs, 3, padding=1)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        spread = scale / math.sqrt(layer.weight[0].numel())
        layer.weight.copy_(spread * torch.randn(layer.weight.shape, generator=generator))
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
