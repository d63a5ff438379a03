"""The private messages that come with fedsim."""

import json
from importlib import resources
from pathlib import Path
from typing import ClassVar

from fedsim.core.modality import TEXTS
from fedsim.core.registry import DATASETS
from fedsim.data.source import DatasetSource
from fedsim.data.tokens import TextDataset, Texts

_FILE = "messages.json"


@DATASETS.register("messages")
class Messages(DatasetSource):
    """Private messages, made up: medical, financial, personal, work; come with fedsim.

    Written for this project; no person or event in them is real.
    """

    modality: ClassVar[str] = TEXTS

    def load(self, data_dir: Path | None) -> TextDataset:
        """Read the messages; ``data_dir`` is not used."""
        text = resources.files("fedsim.data.embedded").joinpath(_FILE).read_text("utf-8")
        content = json.loads(text)
        classes = tuple(content["classes"])

        def part(name: str) -> Texts:
            rows = content[name]
            kinds = tuple(classes.index(row["kind"]) for row in rows)
            return Texts(tuple(row["text"] for row in rows), kinds)

        return TextDataset("messages", part("train"), part("test"), classes)


def messages() -> TextDataset:
    """Load the messages."""
    return Messages().load(None)
