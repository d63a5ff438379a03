"""A text file from the user's disk as a data set."""

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fedsim.core.errors import DataError
from fedsim.core.modality import TEXTS
from fedsim.core.registry import DATASETS
from fedsim.core.seeds import derive
from fedsim.data.source import DatasetSource, FilePath
from fedsim.data.texts.near import without_near_duplicates
from fedsim.data.tokens import TextDataset, Texts

_MAX_BYTES = 50_000_000


@DATASETS.register("text-file")
class TextFile(DatasetSource):
    """Your own texts: a file with one text per line.

    A line may begin with the text's class, separated by a tab; then all lines must. Empty lines
    are skipped. The number of texts alone determines which of them are held out for testing; held
    out texts that are nearly the same as a training text are left out.

    Args:
        path: the file, in UTF-8.
        test_fraction: the fraction of the texts to hold out for testing, at least one.
    """

    modality: ClassVar[str] = TEXTS

    path: Annotated[FilePath, Field(examples=["."])]
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2

    def load(self, data_dir: Path | None) -> TextDataset:
        """Read the file; ``data_dir`` is not used."""
        texts, labels, classes = _kinds(self._lines(), self.path)
        if len(texts) < 2:
            raise DataError(
                f"{self.path} has {len(texts)} line(s) of text: expected at least 2, one for "
                "training and one to hold out for testing"
            )
        order = np.random.default_rng(derive(0, "text-file", len(texts))).permutation(len(texts))
        held = min(len(texts) - 1, max(1, round(self.test_fraction * len(texts))))
        test, train = sorted(order[:held].tolist()), sorted(order[held:].tolist())

        def part(rows: list[int]) -> Texts:
            return Texts(tuple(texts[i] for i in rows), tuple(labels[i] for i in rows))

        private, public = part(train), part(test)
        distinct = without_near_duplicates(public, private.texts)
        # A test set is needed, even if the file has nothing but repetitions.
        return TextDataset(self.path.name, private, distinct if distinct.texts else public, classes)

    def _lines(self) -> list[str]:
        try:
            if self.path.stat().st_size > _MAX_BYTES:
                raise DataError(
                    f"{self.path} has more than {_MAX_BYTES // 10**6} MB: take a part of it"
                )
            text = self.path.read_text("utf-8-sig")
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be read ({error.strerror}): expected a file with one text "
                "per line; check the path"
            ) from None
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path}: not UTF-8 text (byte {error.start}): save it as UTF-8"
            ) from None
        return [line for line in text.splitlines() if line.strip()]


def _kinds(lines: list[str], path: Path) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Return texts, the numbers of their classes, and the names of the classes."""
    if not any("\t" in line for line in lines):
        return [line.strip() for line in lines], [0] * len(lines), ("text",)
    pairs = [line.split("\t", 1) for line in lines]
    for number, pair in enumerate(pairs, start=1):
        if len(pair) < 2:
            raise DataError(
                f"{path}, text {number}: no tab, while other lines have one: expected the class "
                "of the text before a tab in every line, or in none"
            )
    classes = tuple(sorted({kind.strip() for kind, _ in pairs}))
    numbers = {kind: number for number, kind in enumerate(classes)}
    return [t.strip() for _, t in pairs], [numbers[k.strip()] for k, _ in pairs], classes
