"""The parts of an audited app in the scenario of its run folder, which name what fedsim lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.modality import PICTURES
from fedsim.core.registry import DATASETS, MODELS, PARTITIONS
from fedsim.data import DatasetSource, IndexArray
from fedsim.data.partitions import Partition
from fedsim.models import Spec

NOT_HERE = (
    "this scenario was written by an audit and names parts of an app that fedsim does not have; "
    "repeat the audit instead"
)


def _refuse() -> NoReturn:
    raise DataError(NOT_HERE)


@DATASETS.register("own-data")
class OwnData(DatasetSource):
    """The private data of an audited app, which only its clients hold."""

    public: Annotated[str, Field(description="the public data")] = ""

    def load(self, data_dir: Path | None) -> NoReturn:
        """Refuse: fedsim does not have the data."""
        _refuse()


@PARTITIONS.register("own-split")
class OwnSplit(Partition):
    """The distribution of an audited app's data over its clients."""

    def assign(
        self, labels: IndexArray, clients: int, rng: np.random.Generator
    ) -> list[IndexArray]:
        """Refuse: fedsim does not have the data."""
        _refuse()


@MODELS.register("own-model")
class OwnModel(Spec):
    """The model of an audited app.

    Its loss, the mode of its layers and the shape of an example are assumptions of the attack.
    """

    modality = PICTURES

    factory: Annotated[str, Field(description="class or function that makes the model")] = ""
    input_shape: Annotated[str, Field(description="shape of an example, such as 3x32x32")] = ""
    loss: Annotated[str, Field(description="the clients' loss")] = ""
    mode: Annotated[str, Field(description="mode of the layers: train or eval")] = "train"

    def for_data(self, dataset: Any, seed: int) -> NoReturn:
        """Refuse: fedsim does not have the model."""
        _refuse()
