"""From the arguments of an audit to its plan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fedsim.attacks import Assumptions, Loss, Normalisation, as_loss, mean_cross_entropy
from fedsim.attacks.assumptions import Numbers, Scale
from fedsim.attacks.functional import count_classes
from fedsim.clients.defenses import Defense
from fedsim.core.errors import RunError
from fedsim.core.losses import LossOfClasses
from fedsim.core.outputs import Parts, returning_tensor
from fedsim.core.randomness import global_randomness
from fedsim.engine.audit.details import CROSS_ENTROPY, TrainingDetails, named_loss
from fedsim.engine.audit.examples import (
    Tensors,
    as_targets,
    picture_shape,
    pictures,
    public_examples,
)
from fedsim.engine.audit.kept import KeptBatches
from fedsim.engine.audit.plan import AuditPlan, Truth
from fedsim.models.losses import ClientLoss

Factory = Callable[[], nn.Module]


def plan_of(  # noqa: PLR0913  (what there is to say about an app)
    *,
    model: nn.Module | Factory,
    input_shape: Sequence[int],
    learning_rate: float,
    batch_size: int,
    local_steps: int | None,
    local_epochs: int | None,
    optimizer: Any,
    loss: object,
    details: TrainingDetails,
    uploads: Literal["weights", "gradients"],
    mode: str,
    normalisation: tuple[Numbers, Numbers] | None,
    value_range: tuple[float, float],
    truth: Truth | KeptBatches | Path | str | None,
    public: tuple[Tensor, Tensor] | None,
    defenses: Sequence[Defense],
    attack: Any,
    evaluations: int | None,
    rounds: Sequence[int],
    clients: int | None,
    time_limit_s: float,
    seed: int,
) -> AuditPlan:
    """Return the plan of an audit with the arguments of `fedsim.audit`.

    Raises:
        FedsimError: an argument is invalid.
    """
    shape = shape_of(input_shape)
    own, heads = model_of(model, shape, mode)
    known = named_loss(loss)
    numbers = public is not None and torch.as_tensor(public[1]).is_floating_point()
    taken = loss if known is None else ClientLoss(known, heads, classes=not numbers).function()
    of_tensor = loss_of(loss, heads) if known is None else as_loss(taken)
    assumed = assumptions(of_tensor, normalisation, value_range, shape)
    classes = loss is None or isinstance(taken, LossOfClasses | nn.CrossEntropyLoss)
    classes |= assumed.loss is mean_cross_entropy
    examples, said, outputs = public_of(public, own, shape, assumed, classes=classes)
    objection = None if known is None else known.objection(outputs)
    if objection is not None:
        raise RunError(f"loss: {objection}")
    plan = AuditPlan(
        architecture=own,
        factory=name_of(model),
        input_shape=shape,
        loss=CROSS_ENTROPY if loss is None else name_of(known or loss),
        assumed=assumed,
        public=examples,
        public_said=said,
        outputs=outputs,
        uploads=uploads,
        learning_rate=learning_rate,
        batch_size=batch_size,
        local_steps=local_steps,
        local_epochs=local_epochs,
        optimizer=optimizer,
        truth=KeptBatches(truth) if isinstance(truth, str | Path) else truth,
        attack=attack_table(attack, evaluations),
        rounds=tuple(rounds),
        clients=clients,
        time_limit_s=time_limit_s,
        seed=seed,
        defenses=tuple(defenses),
        named_loss=known,
        details=details,
    )
    plan.check()
    return plan


def model_of(
    model: nn.Module | Factory, input_shape: tuple[int, ...], mode: str
) -> tuple[nn.Module, Parts | None]:
    """Return a copy of the auditor's model that takes pictures and returns one tensor.

    And the parts of its output, if it has several.

    No global random state is changed.

    Args:
        model: a model, or a function without arguments that makes one.
        input_shape: shape of an example as the model takes it.
        mode: mode of the layers in the clients' training: train or eval.

    Raises:
        RunError: it is not a model.
    """
    if isinstance(model, nn.Module):
        made: object = copy.deepcopy(model)
    else:
        with global_randomness():
            made = model()
    if not isinstance(made, nn.Module):
        raise RunError(
            f"model: expected a torch.nn.Module, or a function without arguments that returns one, "
            f"not {type(made).__name__}"
        )
    if mode not in {"train", "eval"}:
        raise RunError(f"mode is {mode!r}: expected 'train' or 'eval'")
    heads = _heads(made.cpu(), input_shape)
    made = returning_tensor(made.train(mode == "train"))
    if picture_shape(input_shape) != input_shape:
        made.register_forward_pre_hook(
            lambda module, given: (given[0].reshape(len(given[0]), *input_shape),)
        )
    return made, heads


def name_of(thing: object) -> str:
    """Return a readable name of a class, a function or an object."""
    return str(getattr(thing, "__qualname__", None) or type(thing).__name__).split("<locals>.")[-1]


def loss_of(loss: object, heads: Parts | None) -> Loss:
    """Return the loss of one tensor of outputs.

    Args:
        loss: the clients' loss, of the model's outputs as it returns them; None for the
            cross-entropy.
        heads: the parts of the outputs, or None.

    Raises:
        RunError: there are several outputs and no loss.
        AttackError: it cannot be used.
    """
    if heads is None:
        return as_loss(loss)
    if loss is None:
        raise RunError("the model has several outputs: give the clients' loss of them")
    given: Callable[[Any, Tensor], Tensor] = as_loss(loss)
    return lambda outputs, target: given(heads.split(outputs), target)


def assumptions(
    loss: Loss,
    normalisation: tuple[Numbers, Numbers] | None,
    value_range: tuple[float, float],
    input_shape: tuple[int, ...],
) -> Assumptions:
    """Return the assumptions about the clients.

    Args:
        loss: loss of a batch.
        normalisation: mean and standard deviation that clients normalise pictures by, or None.
        value_range: range of the data before normalisation; it is mapped to [0, 1] for people.
        input_shape: shape of an example.

    Raises:
        RunError: the range is empty.
        AttackError: the normalisation does not fit the examples.
    """
    low, high = value_range
    if not low < high:
        raise RunError(f"value_range is {value_range}: expected (low, high) with low < high")
    mean, std = (0.0, 1.0) if normalisation is None else normalisation
    if (low, high) == (0.0, 1.0) and normalisation is None:
        return Assumptions(loss)
    shape = picture_shape(input_shape)
    scale = Scale.of(shape, (0.0, 1.0), Normalisation(mean, std))
    # (low + span * unit - mean) / std is (unit - (mean - low) / span) / (std / span).
    span = high - low
    own = Normalisation((scale.mean - low) / span, scale.std / span)
    return Assumptions(loss, own)


def public_of(
    public: tuple[Tensor, Tensor] | None,
    model: nn.Module,
    input_shape: tuple[int, ...],
    assumed: Assumptions,
    *,
    classes: bool,
) -> tuple[Tensors, str, int]:
    """Return the public examples, their description, and the size of the model's output.

    Args:
        public: inputs ``(N, *input_shape)`` as the app's model takes them, and labels; or None.
        model: the model, as `model_of` returns it.
        input_shape: shape of an example.
        assumed: loss and normalisation.
        classes: whether the outputs are classes.

    Raises:
        RunError: the examples, the model and the loss do not fit each other.
        AttackError: the model cannot be evaluated on such examples.
    """
    outputs = count_classes(model, picture_shape(input_shape))
    if public is None:
        shown = len(input_shape) > 1
        said = "pictures of clothes (Fashion-MNIST), unlike the app's" if shown else "random values"
        return public_examples(input_shape, outputs, classes=classes), said, outputs
    inputs, labels = map(torch.as_tensor, public)
    if len(inputs) != len(labels) or not len(inputs):
        raise RunError(f"public: {len(inputs)} examples and {len(labels)} labels")
    targets = as_targets(labels.detach().cpu())
    given = Tensors(pictures(inputs, input_shape, assumed).clamp(0, 1), targets)
    return given, f"{len(inputs)} examples of the auditor", outputs


def shape_of(input_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of an example.

    Raises:
        RunError: it is not a shape.
    """
    shape = tuple(input_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise RunError(
            f"input_shape is {input_shape!r}: expected the shape of one example without the batch, "
            "such as (3, 32, 32)"
        )
    return shape


def attack_table(attack: Any, evaluations: int | None) -> Any:
    """Return an attack as a scenario takes it.

    Args:
        attack: a registered name, a table of name and parameters, or an attack.
        evaluations: the attack's largest number of evaluations; None for its default.
    """
    table = {"name": attack} if isinstance(attack, str) else attack
    if evaluations is None:
        return table
    if not isinstance(table, dict):
        raise RunError("evaluations: give them to the attack itself, which is an object here")
    return {**table, "evaluations": evaluations}


def _heads(model: nn.Module, input_shape: tuple[int, ...]) -> Parts | None:
    """Return the parts of a model's output; None if it cannot be evaluated, which is said later."""
    probe = torch.zeros((2, *input_shape), dtype=next(model.parameters()).dtype)
    try:
        with torch.no_grad(), global_randomness():
            return Parts.of(copy.deepcopy(model).eval()(probe))
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None
