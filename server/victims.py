"""Victims, their outcomes, and the adversary's callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from fedsim.attacks import Attack, Observation, Progress, Reconstruction
from fedsim.core.names import SUM, Attacker
from fedsim.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Victim:
    """One observation under attack, with its attacker.

    Attributes:
        server_round: the round of the upload.
        partitions: the clients whose data are behind the observation: one, or all of a round
            if only their sum is visible; empty for the positive control.
        attacker: naive, or adaptive: one that knows the client's defenses.
        attack: the attack, adapted if the attacker is.
        observation: the server's observation; None if the upload is unusable.
        problem: reason for a missing observation, or None.
        rounds: the rounds that the attacker combines; empty for an attacker of one round.
        film: whether the attack is only filmed, beside the result of another one.
    """

    server_round: int
    partitions: tuple[int, ...]
    attacker: Attacker
    attack: Attack
    observation: Observation | None
    problem: str | None = None
    rounds: tuple[int, ...] = ()
    film: bool = False

    @property
    def is_control(self) -> bool:
        """Whether this is the positive control."""
        return not self.partitions

    @property
    def is_sum(self) -> bool:
        """Whether the victim is the sum of several clients' uploads."""
        return len(self.partitions) > 1

    @property
    def partition(self) -> int | None:
        """The client, if there is exactly one."""
        return self.partitions[0] if len(self.partitions) == 1 else None

    @property
    def name(self) -> str:
        """Name that is unique in the run and safe as a file name."""
        alone = "control" if self.is_control else "sum"
        who = alone if self.partition is None else f"c{self.partition:04d}"
        return f"r{self.server_round:04d}-{who}-{self.attacker}"


@dataclass(frozen=True, eq=False)
class Outcome:
    """Outcome of the attack on one victim.

    Attributes:
        victim: the victim.
        reconstruction: what the attack found.
        model: the global model sent to its client.
        seconds: time of the attack.
        prior: data that the same attack finds with the gradient withheld, a baseline
            ``(batch_size, ...)``; None for an attack without priors.
        film: whether the reconstruction's history is that of another search, shown beside it.
    """

    victim: Victim
    reconstruction: Reconstruction
    model: nn.Module
    seconds: float
    prior: Tensor | None = None
    film: bool = False


def group_name(scenario: Scenario, victim: Victim) -> str | None:
    """Return the name of a victim's client group; None for the control, which has none."""
    if victim.is_control:
        return None
    return SUM if victim.partition is None else scenario.group_of(victim.partition).name


def alike(victims: Sequence[Victim]) -> list[list[Victim]]:
    """Group victims by attack, so that each group is one batch."""
    groups: list[list[Victim]] = []
    for victim in victims:
        for group in groups:
            if group[0].attack == victim.attack:
                group.append(victim)
                break
        else:
            groups.append([victim])
    return groups


OnOutcome = Callable[[Outcome], None]
OnVictims = Callable[[Sequence[Victim]], None]
OnAttackProgress = Callable[[Sequence[Victim], Progress], None]


@dataclass(frozen=True, eq=False)
class Listeners:
    """Callbacks of the adversary, called in its own thread unless it is said.

    Progress may be told in a thread of the attack, one call at a time.
    """

    on_outcome: OnOutcome
    on_victims: OnVictims = field(default=lambda victims: None)
    """Called with a round's victims, whose attacks begin: the naive attacker's, then all others."""
    on_progress: OnAttackProgress = field(default=lambda victims, progress: None)
    on_round_done: Callable[[int], None] = field(default=lambda server_round: None)
    on_skipped: Callable[[int, Sequence[int]], None] = field(
        default=lambda server_round, partitions: None
    )
    """``(server_round, clients)`` whose uploads are not attacked, in the training's thread."""
