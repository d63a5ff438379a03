"""The contract of a countermeasure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from attacks.matching import GradientMatching


class Countermeasure(ABC):
    """How an attacker who knows a client's defense attacks it.

    Registered under the name of the defense that it answers.
    """

    @abstractmethod
    def adapt(self, attack: GradientMatching, parameters: Mapping[str, object]) -> GradientMatching:
        """Return the attack changed to suit the defense.

        Args:
            attack: the naive attack.
            parameters: the defense's own parameters, which are public (Kerckhoffs).
        """
