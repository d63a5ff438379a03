"""Films of searches, beside results that were computed without one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from fedsim.attacks import Reconstruction, Status
from fedsim.attacks.idlg import IDLG
from fedsim.attacks.types import ShouldStop
from fedsim.server.solving import begin, here
from fedsim.server.victims import OnAttackProgress, Victim


@dataclass(frozen=True)
class Filming:
    """Films a search for the data of victims that a closed form has already solved.

    A closed form has no moments to show: its result is there at once. The film is that of another
    attack on the same upload, whose own result is dropped; only its last frame is the result.

    Attributes:
        evaluations: of the search; 0 for no film.
        seed: of its random start.
    """

    evaluations: int
    seed: int

    def films(self, victim: Victim, found: Reconstruction) -> bool:
        """Return whether a victim with this result is filmed."""
        computed = found.status is Status.COMPUTED and bool(found.history)
        return self.evaluations > 0 and computed and not victim.is_control

    def filmed(
        self,
        victim: Victim,
        found: Reconstruction,
        model: nn.Module,
        on_progress: OnAttackProgress,
        should_stop: ShouldStop,
    ) -> Reconstruction:
        """Return the result with the moments of a search; as it is if the search fails.

        Args:
            victim: the victim.
            found: its result.
            model: the model that the victim answers.
            on_progress: called as the search goes on, with the victim as it is filmed.
            should_stop: asked often; when true the film ends.
        """
        if victim.observation is None:
            return found
        filmed = [replace(victim, attack=IDLG(evaluations=self.evaluations), film=True)]
        [search], _ = begin(here, filmed, model, self.seed, on_progress, should_stop)()
        if search.status is Status.FAILED or not search.history:
            return found
        shown = [s for s in search.history if s.data.shape == found.history[-1].data.shape]
        last = replace(found.history[-1], evaluation=search.history[-1].evaluation + 1)
        return replace(found, history=(*shown, last))
