"""The contract of a countermeasure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from fedsim.attacks.matching.attack import GradientMatching
from fedsim.core.errors import AttackError


class Countermeasure(ABC):
    """How an attacker who knows a client's defense attacks it.

    Registered under the name of the defense that it answers, or of the model if that is built to
    defend. A client with several defenses is attacked by their countermeasures one after the
    other, the model's first, in the order of the defenses: each changes what the one before it
    has made, and keeps what it can of that.
    """

    @abstractmethod
    def adapt(
        self,
        attack: GradientMatching,
        parameters: Mapping[str, object],
        public: Tensor | None = None,
        unit: float = 1.0,
    ) -> GradientMatching:
        """Return the attack changed to suit the defense.

        Args:
            attack: the naive attack, or one that is adapted to the defenses before this one.
            parameters: the defense's own parameters, which are public (Kerckhoffs).
            public: images that are no client's ``(N, C, H, W)`` in [0, 1], on the device of the
                attack, for those who learn from them; None if there are none.
            unit: what one unit of the upload is in the gradient: 1 if clients upload gradients,
                1 / (learning rate x local steps) if they upload updates.

        Raises:
            AttackError: a parameter is missing or of another type.
        """


def number(parameters: Mapping[str, object], name: str) -> float:
    """Return a parameter of a defense that is a number.

    Raises:
        AttackError: it is missing or none.
    """
    value = parameters.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AttackError(
            f"parameter {name!r} of the defense: expected a number, found {value!r}; give the "
            "parameters with which the client runs it"
        )
    return float(value)
