"""Differentially private SGD: clipping of each example's gradient, and noise on the sum."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedsim.clients.defenses.base import Batch, Computed, Defense, Mechanism
from fedsim.core.derivatives import grad_and_value
from fedsim.core.errors import ScenarioError
from fedsim.core.modules import normalising_by_batch
from fedsim.core.registry import DEFENSES
from fedsim.models.spec import Spec


@DEFENSES.register("dp-sgd")
class DPSGD(Defense):
    """Clip the gradient of each example, and add Gaussian noise to their sum (DP-SGD).

    Source: Abadi et al., Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133),
    section 3.1 and algorithm 1, with one norm over all parameters. In the paper the batch is a
    Poisson sample and neighbouring data sets differ by one example more or less. Here batches have
    a fixed size and are drawn without replacement, and the sum is divided by that size, so one
    example replaces another: the sum changes by twice the norm, and the guarantee is for
    replace-one adjacency.

    The unit of the guarantee is one training example. After a defense that mixes several private
    images into one (``mixup``, ``instahide``) this is not one private image, and no epsilon is
    stated. Clients with this defense send neither their loss nor measures of what it did.
    """

    identity: ClassVar[Mapping[str, object] | None] = {"norm": 1e6, "noise_multiplier": 0.0}

    norm: Annotated[
        float,
        Field(gt=0, le=1e6, examples=[0.5], description="largest L2 norm of an example's gradient"),
    ]
    noise_multiplier: Annotated[
        float,
        Field(
            ge=0,
            le=1e6,
            examples=[0.01],
            description="standard deviation of the noise on the sum, in units of the norm; "
            "0 only clips, which is not private",
        ),
    ]
    delta: Annotated[
        float,
        Field(gt=0, lt=1, examples=[1e-5], description="delta of the reported (epsilon, delta)"),
    ] = 1e-5

    def compute_gradient(
        self, model: nn.Module, batch: Batch, generator: torch.Generator
    ) -> Computed:
        """Return the private gradient; all examples' gradients are in memory at once.

        Reports ``clipped_fraction``, the share of the examples whose gradient was longer than
        the norm, and ``noise_std``, the root mean square of the noise on the mean gradient.

        Raises:
            ScenarioError: the model has layers that normalise by the batch.
        """
        objection = _batch_statistics(model)
        if objection is not None:
            raise ScenarioError(f"dp-sgd: {objection}")
        gradients, losses = _per_example(model, batch)
        count = len(batch.inputs)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients.values()]).norm(dim=0)
        factors = (self.norm / norms.clamp(min=torch.finfo(norms.dtype).tiny)).clamp(max=1)
        mean = {k: torch.tensordot(factors, g, 1) / count for k, g in gradients.items()}
        noise = {k: self._noise(g, generator) / count for k, g in mean.items()}
        squares = sum(float(n.double().square().sum()) for n in noise.values())
        return Computed(
            {k: g + noise[k] for k, g in mean.items()},
            float(losses.mean()),
            did={
                "clipped_fraction": float((norms > self.norm).double().mean()),
                "noise_std": (squares / sum(n.numel() for n in noise.values())) ** 0.5,
            },
        )

    def objection(self, spec: Spec) -> str | None:
        """Reject models with layers that normalise by the batch."""
        outline = spec.outline()
        return None if outline is None else _batch_statistics(outline)

    def mechanism(self) -> Mechanism | None:
        """Return the differential privacy of a step, or None without noise."""
        if not self.noise_multiplier:
            return None
        return Mechanism(self.noise_multiplier, self.delta, "example", self.norm)

    def _noise(self, like: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(
            like.shape, generator=generator, device=generator.device, dtype=like.dtype
        )
        return self.noise_multiplier * self.norm * noise.to(like.device)


def _per_example(model: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """Return each example's gradients, ``(N, ...)`` by name, and losses ``(N,)``."""
    trained = {k: p.detach() for k, p in model.named_parameters() if p.requires_grad}

    def loss(parameters: Mapping[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(model, dict(parameters), (image[None],))
        return batch.loss(logits, label[None])

    # A random layer (dropout) draws for each example.
    each = vmap(grad_and_value(loss), in_dims=(None, 0, 0), randomness="different")
    gradients, losses = each(trained, batch.inputs, batch.labels)
    return gradients, losses


def _batch_statistics(model: nn.Module) -> str | None:
    """Return the reason why a model with batch normalisation is unsupported, or None."""
    for name, layer in normalising_by_batch(model).items():
        return (
            f"its layer {name!r} ({type(layer).__name__}) normalises by the whole batch, so "
            "the gradient of a single example is not defined; use a model without batch "
            "normalisation (lenet, convnet, mlp), or batch_norm = 'eval' if the model has it"
        )
    return None
