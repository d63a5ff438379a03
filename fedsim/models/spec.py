"""The base of the models of all modalities."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import nn

from fedsim.core.checked import Parameters, checked
from fedsim.data.types import Prepared


@checked
class Spec(Parameters, ABC):
    """The hyper-parameters of a model, which builds it for a data set of its modality."""

    modality: ClassVar[str]
    """The registered name of the kind of data that the model takes."""

    @abstractmethod
    def for_data(self, dataset: Any, seed: int) -> tuple[Prepared, nn.Module]:
        """Return the data set as the model takes it, and the model.

        The model has an attribute ``modality``, unless it takes pictures. It is on the CPU and in
        training mode. No global random state is changed.

        Args:
            dataset: what a data set of the modality was loaded as.
            seed: the run's seed, on which random weights depend.

        Raises:
            DataError: the data set and the model do not go together.
        """

    def remark_on(self, example: Any) -> str | None:
        """Return a remark on a private example before a run, or None.

        Args:
            example: the example as a user gives it.
        """
        return None

    def outline(self) -> nn.Module | None:
        """Return a model without values, for questions about its layers before there are data.

        None if no layer depends on the other examples of a batch.
        """
        return None
