"""Suspicions: what an auditor may have got wrong, tested on the private data.

If the positive control is reconstructed and the private data do not explain the upload, some
statement about the clients is wrong. Each suspicion changes one of them and computes the misfit of
the private data again; the one under which they fit is named, with the remedy.
"""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fedsim.attacks.functional import count_classes
from fedsim.attacks.labels.known import target_rows
from fedsim.attacks.matching.client import Client
from fedsim.engine.audit.evidence import Evidence

MOST_SWAPS = 30

NORMALISATIONS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "0.5/0.5": ((0.5,), (0.5,)),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)),
    "MNIST's": ((0.1307,), (0.3081,)),
    "1/255": ((0.0,), (255.0,)),
}
"""Common normalisations: mean and standard deviation."""

Case = tuple[str, Evidence]
"""A suspicion as a clause with its remedy, and the evidence under it."""


class Suspicion(ABC):
    """A kind of mistake."""

    @abstractmethod
    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield the mistakes of this kind, each with the evidence as it would be."""


class OtherNormalisation(Suspicion):
    """The truth is not what the model took: a normalisation too many, or too few."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield each common normalisation and the stated one, applied once more and undone."""
        entered, channels = evidence.seen_as_inputs(), evidence.inputs.shape[1]
        known = dict(NORMALISATIONS)
        scale = evidence.observation.scale
        if not scale.is_identity:
            own = scale.mean.flatten().tolist(), scale.std.flatten().tolist()
            known = {"the stated one": own, **known}
        for name, (mean, std) in known.items():
            if len(mean) not in (1, channels):
                continue
            shift, size = (torch.tensor(n).view(-1, 1, 1).to(entered) for n in (mean, std))
            again, undone = (entered - shift) / size, entered * size + shift
            yield (
                f"the clients normalise once more than the truth shows (by {name}): let the truth "
                "return what the model takes, and state all of it in normalisation",
                evidence.with_inputs(again),
            )
            yield (
                f"the truth is normalised once more than the clients' data (by {name}): let the "
                "truth return what the model takes",
                evidence.with_inputs(undone),
            )


class OtherMode(Suspicion):
    """The layers are in another mode than stated."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield the other mode."""
        training = not evidence.model.training
        model = copy.deepcopy(evidence.model).train(training)
        name = "train" if training else "eval"
        yield (
            f"the clients' model is in {name} mode: set mode='{name}'",
            replace(evidence, model=model),
        )


class OtherOrder(Suspicion):
    """Two tensors of the same shape have changed places in the upload."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield each exchange of two tensors of one shape."""
        gradient, unit = evidence.observation.gradient, evidence.observation.weight_unit
        pairs = (
            (a, b)
            for a, b in itertools.combinations(gradient, 2)
            if gradient[a].shape == gradient[b].shape
        )
        for a, b in itertools.islice(pairs, MOST_SWAPS):
            swapped = dict(gradient)
            if unit is None:
                swapped[a], swapped[b] = gradient[b], gradient[a]
            else:
                old, new = evidence.sent, evidence.arrays
                swapped[a] = (old[a] - new[b].to(old[a])).to(gradient[a]) * unit
                swapped[b] = (old[b] - new[a].to(old[b])).to(gradient[b]) * unit
            yield (
                f"the tensors {a!r} and {b!r} have changed places in the upload: send them in the "
                "order of the model's state, or by name",
                evidence.with_gradient(swapped),
            )


class HalfPrecision(Suspicion):
    """The upload was rounded to half precision."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield the unrounded upload of the private data, if the real one is its rounding."""
        names = [k for k in evidence.observation.gradient if k in evidence.arrays]
        for dtype, defense in ((torch.float16, "fp16"), (torch.bfloat16, "bfloat16")):
            kept = (evidence.arrays[k] for k in names)
            if not all(torch.equal(t.to(dtype).to(t.dtype), t) for t in kept):
                continue
            expected = _upload_of(evidence)
            unit = evidence.observation.weight_unit
            if expected is None:
                continue
            rounded = {}
            for k in names:
                plain = expected[k]
                if unit is not None:
                    plain = evidence.sent[k].to(plain) - plain / unit
                near = (plain.to(dtype).float() - evidence.arrays[k].float()).abs()
                step = torch.finfo(dtype).eps * plain.abs() + torch.finfo(dtype).tiny
                rounded[k] = bool((near <= 2 * step).all())
            if all(rounded.values()):
                yield (
                    f"the uploads are rounded to {str(dtype).removeprefix('torch.')}: state "
                    f"defenses=[...] with '{defense}', for an attacker who knows it",
                    evidence.with_gradient(expected),
                )


class OtherScale(Suspicion):
    """The upload is a multiple of the gradient: another learning rate, or another loss scale."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield the multiple that fits best."""
        expected, gradient = _upload_of(evidence), evidence.observation.gradient
        if expected is None:
            return
        inner = sum(float((expected[k] * gradient[k].to(expected[k])).sum()) for k in expected)
        size = sum(float(expected[k].square().sum()) for k in expected)
        factor = inner / size if size else 0.0
        if factor <= 0 or abs(factor - 1) < 1e-3:
            return
        why = f"another learning rate or loss scale: the upload is {factor:.4g} times as large"
        if round(factor) == evidence.observation.batch_size > 1 and abs(factor % 1) < 1e-2:
            why = f"the loss is summed over the batch, not averaged: {factor:.4g} times as large"
        yield (
            f"{why}; state it in loss, or multiply learning_rate by {factor:.4g}",
            evidence.with_gradient({k: g / factor for k, g in gradient.items()}),
        )


class OtherRound(Suspicion):
    """The upload answers the model of an earlier round, or the truth is of another round."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield the models of earlier rounds and the truths of the rounds beside this one."""
        for back, state in enumerate(evidence.earlier, start=1):
            model = copy.deepcopy(evidence.model)
            model.load_state_dict(dict(state))
            other = replace(evidence, model=model, sent=state)
            unit = evidence.observation.weight_unit
            if unit is not None:
                gradient = evidence.observation.gradient
                moved = {k: (state[k] - evidence.arrays[k].to(state[k])) * unit for k in gradient}
                other = other.with_gradient(moved)
            yield (
                f"the client trained on the weights of round {evidence.server_round - back}, not "
                "on those that were sent: attack its answer in that round",
                other,
            )
        for other_round in (evidence.server_round - 1, evidence.server_round + 1):
            found = evidence.truths(evidence.partition, other_round)
            if found is not None:
                yield (
                    f"the truth of round {other_round} is the data of this upload: number the "
                    "rounds of the truth from 1, as Flower does",
                    replace(evidence, inputs=found[0], labels=found[1]),
                )


class OtherClient(Suspicion):
    """The truth belongs to another client."""

    def cases(self, evidence: Evidence) -> Iterator[Case]:
        """Yield the truth of each other client."""
        for partition in range(evidence.clients):
            if partition == evidence.partition:
                continue
            found = evidence.truths(partition, evidence.server_round)
            if found is not None:
                yield (
                    f"the truth of client {partition} is the data of this upload: let the clients "
                    "report 'partition-id' among their metrics",
                    replace(evidence, inputs=found[0], labels=found[1]),
                )


SUSPICIONS: tuple[Suspicion, ...] = (
    OtherMode(),
    OtherScale(),
    HalfPrecision(),
    OtherRound(),
    OtherClient(),
    OtherNormalisation(),
    OtherOrder(),
)


def _upload_of(evidence: Evidence) -> dict[str, Tensor] | None:
    """Return the gradient of the private data in one step, by name; None after several steps."""
    seen = evidence.observation
    if seen.training is not None:
        return None
    client = Client(evidence.model, loss=seen.loss)
    like = next(evidence.model.parameters())
    entered = evidence.seen_as_inputs().to(like)
    outputs = count_classes(evidence.model, seen.input_shape)
    target = target_rows(evidence.labels, outputs, like)
    found = client.upload(entered, target)
    return {k: g.detach() for k, g in found.items() if k in seen.gradient}
