"""An audit as the command line asks for it, in plain values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedsim.core.errors import RunError
from fedsim.engine.audit.details import CROSS_ENTROPY, details_in, loss_in
from fedsim.engine.audit.kept import KeptBatches, optimizer_in
from fedsim.engine.audit.loading import imported, load_tensors, numbers, shape_in
from fedsim.engine.audit.making import plan_of
from fedsim.engine.audit.plan import AuditPlan, Truth


@dataclass(frozen=True)
class Request:
    """Options of the command; None where the user left one out.

    Attributes:
        model: import path of the model's factory.
        input_shape: such as ``3x32x32``.
        loss: import path of the loss, or table of its registered name and parameters.
        normalise: mean and standard deviation, ``0.5/0.25`` or ``0.5,0.5,0.5/0.25,0.25,0.25``.
        value_range: such as ``-1,1``.
        public: file with ``inputs`` and ``labels``.
        optimizer: table of the optimiser's name and parameters.
        details: schedule, max_grad_norm, proximal_mu and augmentations.
        others: arguments of `fedsim.audit` that are plain values.
    """

    model: str
    input_shape: str | None
    batch_size: int | None
    local_steps: int | None
    local_epochs: int | None
    learning_rate: float | None
    mode: str | None
    loss: str | Mapping[str, Any] | None
    normalise: str | None
    value_range: str | None
    public: str | None
    uploads: str
    optimizer: Mapping[str, Any] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the request as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Return the request of a text."""
        return cls(**json.loads(text))

    def plan(
        self, truth: Truth | KeptBatches | None, facts: Mapping[str, Any], example: Tensor | None
    ) -> AuditPlan:
        """Return the plan; what the user left out is taken from a watched training.

        Args:
            truth: the truth.
            facts: facts of a watched training (`fedsim.AuditMod`), or nothing.
            example: inputs of a watched training, or None.

        Raises:
            FedsimError: an option is invalid, or missing and unknown.
        """
        rate = self.learning_rate or max(facts.get("rates", [facts.get("lr", 0.0)])) or None
        if rate is None:
            raise RunError("--learning-rate is missing: give the clients' learning rate")
        steps, epochs = self._effort(facts, 0 if example is None else len(example))
        shape = None if self.input_shape is None else shape_in(self.input_shape)
        if shape is None and example is not None:
            shape = tuple(example.shape[1:])
        if shape is None:
            raise RunError("--input-shape is missing: give the shape of an example, as 3x32x32")
        return plan_of(
            model=imported(self.model),
            input_shape=shape,
            learning_rate=rate,
            batch_size=self.batch_size or facts.get("batch_size") or 1,
            local_steps=steps,
            local_epochs=epochs,
            optimizer=self.optimizer or optimizer_in(facts) or "sgd",
            loss=self._loss(facts),
            details=details_in(facts, self.details, rate),
            uploads="gradients" if self.uploads == "gradients" else "weights",
            mode=self.mode or facts.get("mode") or "train",
            normalisation=self._normalisation(),
            value_range=self._range(example),
            truth=truth,
            public=None if self.public is None else examples_in(Path(self.public)),
            defenses=(),
            **self.others,
        )

    def _loss(self, facts: Mapping[str, Any]) -> Any:
        """Return the loss, as stated or as watched.

        Raises:
            RunError: it cannot be imported, or was left out and is not the cross-entropy.
        """
        if isinstance(self.loss, str):
            return imported(self.loss)
        found = self.loss or loss_in(facts)
        if found is None:
            raise RunError(f"the clients' loss is {facts['loss']}: give it with --loss module:name")
        return None if found == {"name": CROSS_ENTROPY} else found

    def _effort(self, facts: Mapping[str, Any], examples: int) -> tuple[int | None, int | None]:
        """Return the numbers of local steps and of epochs, of which one is None.

        A watched training of whole passes over its examples is one of epochs, whose last batch can
        be smaller.
        """
        if self.local_steps is not None or self.local_epochs is not None:
            return self.local_steps, self.local_epochs
        steps, size = facts.get("steps"), self.batch_size or facts.get("batch_size")
        if not steps or not size or not examples:
            return steps, None
        per_epoch = -(-examples // size)
        whole = steps > 1 and steps % per_epoch == 0
        return (None, steps // per_epoch) if whole else (steps, None)

    def _normalisation(self) -> tuple[Any, Any] | None:
        if self.normalise is None:
            return None
        mean, slash, std = self.normalise.partition("/")
        if not slash:
            raise RunError(f"--normalise {self.normalise}: expected mean/std, such as 0.5/0.25")
        return tuple(n[0] if len(n) == 1 else n for n in map(numbers, (mean, std)))  # type: ignore[return-value]

    def _range(self, example: Tensor | None) -> tuple[float, float]:
        """Return the stated range, or [0, 1], or the range of a watched training outside it."""
        if self.value_range is not None:
            found = numbers(self.value_range)
            if len(found) != 2:
                raise RunError(f"--range {self.value_range}: expected two numbers, such as -1,1")
            return found[0], found[1]
        if example is None or self.normalise is not None:
            return 0.0, 1.0
        low, high = float(example.min()), float(example.max())
        if low >= 0 and high <= 1:
            return 0.0, 1.0
        return float(torch.tensor(low).floor()), float(torch.tensor(high).ceil())


def examples_in(path: Path) -> tuple[Tensor, Tensor]:
    """Return the examples of a file with the tensors ``inputs`` and ``labels``.

    Raises:
        RunError: the file cannot be read, or lacks one of them.
    """
    found = load_tensors(path)
    missing = [name for name in ("inputs", "labels") if name not in found]
    if missing:
        raise RunError(f"{path}: expected the tensors 'inputs' and 'labels', found {list(found)}")
    return found["inputs"], found["labels"]


def truth_in(path: Path | None, clients: int) -> Truth | None:
    """Return the truth of recorded uploads.

    Args:
        path: a file with ``inputs`` and ``labels`` for one client, or a folder with such a file for
            each client, sorted by name; None if it is unknown.
        clients: number of clients.

    Raises:
        RunError: there is not one file for each client.
    """
    if path is None:
        return None
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    if len(files) != clients:
        raise RunError(f"{path}: {len(files)} files for {clients} uploads: expected one for each")
    known = [examples_in(file) for file in files]
    return lambda partition, server_round: known[partition]


def planner(request: Request, kept: KeptBatches) -> Callable[[int, int], AuditPlan]:
    """Return the function of a node and a round that makes the plan from what was kept of it."""

    def plan(node: int, server_round: int) -> AuditPlan:
        inputs, _ = kept.read(node, server_round)
        return request.plan(kept, kept.facts(node, server_round), inputs)

    return plan
