"""Texts that are written in the scenario."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from fedsim.core.modality import TEXTS
from fedsim.core.registry import DATASETS
from fedsim.data.source import DatasetSource
from fedsim.data.texts.messages import messages
from fedsim.data.texts.near import without_near_duplicates
from fedsim.data.tokens import TextDataset, Texts

_Lines = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...],
    Field(min_length=1),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
]


@DATASETS.register("sentences")
class OwnTexts(DatasetSource):
    """Private sentences from the scenario, with fedsim's own messages as public texts.

    Messages that are nearly the same as a private sentence are left out.

    Args:
        texts: the private sentences; with as many clients, each client has one of them.
    """

    modality: ClassVar[str] = TEXTS

    texts: Annotated[_Lines, Field(examples=[["my account is overdrawn"]])]

    def load(self, data_dir: Path | None) -> TextDataset:
        """Take the sentences; ``data_dir`` is not used."""
        public = messages()
        kinds = (0,) * len(self.texts)
        test = without_near_duplicates(public.test, self.texts)
        return TextDataset("sentences", Texts(self.texts, kinds), test, public.classes)
