"""Base class of every countermeasure."""

from abc import ABC, abstractmethod

from fedsim.attacks.adaptive.answer import Answer, Known
from fedsim.core.checked import Parameters


class Countermeasure(Parameters, ABC):
    """Countermeasure of an attacker who knows a client's defense.

    It is registered under the name of the defense, or of a model with a built-in defense. Its
    fields are the parameters of the defense that matter to the attacker: a defense and its
    parameters are public (Kerckhoffs' principle), its random draws are not.
    """

    @abstractmethod
    def answer(self, known: Known) -> Answer:
        """Return the effect of the defense on a gradient, and the remaining uncertainty.

        Countermeasures are independent of each other. A client with several defenses is attacked by
        the composition of their answers (`fedsim.attacks.adaptive.compose`).

        Args:
            known: the attacker's other knowledge.

        Raises:
            AttackError: the attacker's knowledge is insufficient.
        """
