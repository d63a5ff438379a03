"""Text data sets of the Hugging Face hub."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.modality import TEXTS
from fedsim.core.registry import DATASETS
from fedsim.data.source import DatasetSource
from fedsim.data.tokens import TextDataset, Texts


@DATASETS.register("hugging-face-texts")
class HuggingFaceTexts(DatasetSource):
    """A text data set of the Hugging Face hub, loaded with the library ``datasets``.

    Args:
        path: the data set's name on the hub, or a folder that ``datasets.load_dataset`` reads.
        config: the configuration's name, if there are several.
        text: the column of the texts.
        label: the column of the labels; without it all texts have the same class.
        train_split: the part that is shared out among the clients.
        test_split: the part that is public.
        limit: maximum number of texts in each part.
    """

    modality: ClassVar[str] = TEXTS

    path: Annotated[str, Field(min_length=1, examples=["imdb"])]
    config: str | None = None
    text: str = "text"
    label: str | None = None
    train_split: str = "train"
    test_split: str = "test"
    limit: Annotated[int, Field(ge=1)] = 5000

    def load(self, data_dir: Path | None) -> TextDataset:
        """Load the data set; ``data_dir`` is the library's cache."""
        try:
            datasets = importlib.import_module("datasets")
        except ImportError:
            raise DataError(
                "hugging-face-texts needs the library 'datasets', which is not installed; "
                "install it: pip install datasets"
            ) from None
        parts = [self._part(datasets, s, data_dir) for s in (self.train_split, self.test_split)]
        names = sorted({label for _, labels in parts for label in labels})
        numbers = {name: number for number, name in enumerate(names)}
        train, test = (Texts(texts, tuple(numbers[k] for k in labels)) for texts, labels in parts)
        return TextDataset(self.path, train, test, tuple(names))

    def _part(
        self, datasets: Any, split: str, data_dir: Path | None
    ) -> tuple[tuple[str, ...], list[str]]:
        cache = None if data_dir is None else str(data_dir)
        try:
            rows = datasets.load_dataset(self.path, self.config, split=split, cache_dir=cache)
        except Exception as error:  # names, networks and servers fail in many ways
            reason = str(error).split("\n")[0]
            raise DataError(f"data set {self.path!r}, part {split!r}: {reason:.300}") from None
        for column in filter(None, (self.text, self.label)):
            if column not in rows.column_names:
                raise DataError(
                    f"data set {self.path!r}: no column {column!r}: expected one of "
                    f"{', '.join(rows.column_names)}"
                )
        rows = rows.select(range(min(self.limit, len(rows))))
        texts = tuple(str(text) for text in rows[self.text])
        return texts, ["text"] * len(texts) if self.label is None else self._labels(rows)

    def _labels(self, rows: Any) -> list[str]:
        name_of = getattr(rows.features[self.label], "int2str", str)
        return [str(name_of(value)) for value in rows[self.label]]
