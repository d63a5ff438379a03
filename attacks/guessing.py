"""How a client trained, where that is not known."""

from collections.abc import Sequence

from torch import nn

from attacks.base import Attack
from attacks.types import Observation, Reconstruction, Status
from fedsim.errors import AttackError


def guess_training(
    attack: Attack, model: nn.Module, guesses: Sequence[Observation], *, seed: int = 0
) -> tuple[int, Reconstruction]:
    """Attack one update under several guesses at its local training; the best explanation wins.

    Which it is shows in the relative objective, which no guess but the right one can bring
    near zero, given evaluations enough. That holds among guesses with equally many examples,
    whose number a server knows where it weighs clients by it; more examples than the client
    had can mimic what it did, and would win or draw.

    Args:
        attack: one with an objective.
        model: as in `Attack.run`.
        guesses: the same update as `Observation.from_update` makes it, with other numbers of
            steps, batch sizes or learning rates.
        seed: as in `Attack.run`.

    Returns:
        The place of the best guess, and its reconstruction.

    Raises:
        AttackError: there are no guesses, they differ in their numbers of examples, or the
            attack fails under each of them.
    """
    sizes = sorted({guess.batch_size for guess in guesses})
    if len(sizes) != 1:
        raise AttackError(
            f"guesses at a local training with {sizes} examples: expected the same number of "
            "examples in all of them, and at least one guess"
        )
    found = attack.run(model, guesses, seed=seed)
    able = [i for i, result in enumerate(found) if result.status is not Status.FAILED]
    if not able:
        raise AttackError(f"no guess can be attacked, the first since: {found[0].error}")
    best = min(able, key=lambda i: found[i].relative_objective)
    return best, found[best]
