"""The contract of a countermeasure."""

from abc import ABC, abstractmethod

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.core.checked import Parameters


class Countermeasure(Parameters, ABC):
    """Knowledge of a client's defense, in the hands of an attacker.

    Registered under the name of the defense that it answers, or of the model if that is built to
    defend. Its fields are those parameters of the defense that matter to the attacker: what a
    defense does is public (Kerckhoffs), its random draws are not.
    """

    @abstractmethod
    def answer(self, known: Known) -> Answer:
        """Return what the defense does to a gradient, and the uncertainty that it leaves.

        A countermeasure knows no other. A client with several defenses is attacked by the
        composition of their answers (`fedsim.attacks.adaptive.compose`).

        Args:
            known: what the attacker knows besides.

        Raises:
            AttackError: the attacker does not know enough.
        """
