"""Films of searches, beside results that were computed without one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from fedsim.attacks import Attack, Reconstruction, Status
from fedsim.attacks.idlg import IDLG
from fedsim.attacks.types import OnProgress, ShouldStop
from fedsim.server.victims import Victim


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
        computed = found.status is Status.COMPUTED and found.data is not None
        return self.evaluations > 0 and computed and not victim.is_control

    def searcher(self) -> Attack:
        """Return the attack that is filmed."""
        return IDLG(evaluations=self.evaluations)

    def filmed(
        self,
        victim: Victim,
        found: Reconstruction,
        model: nn.Module,
        on_progress: OnProgress,
        should_stop: ShouldStop,
    ) -> Reconstruction:
        """Return the result with the moments of a search; as it is if the search fails.

        Args:
            victim: the victim.
            found: its result.
            model: the model that the victim answers.
            on_progress: called as the search goes on.
            should_stop: asked often; when true the film ends.
        """
        if victim.observation is None:
            return found
        [search] = self.searcher().run(
            model,
            [victim.observation],
            seed=self.seed,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        if search.status is Status.FAILED or not search.history:
            return found
        shown = [s for s in search.history if s.data.shape == found.history[-1].data.shape]
        last = replace(found.history[-1], evaluation=search.history[-1].evaluation + 1)
        return replace(found, history=(*shown, last))
