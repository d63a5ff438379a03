"""Texts: data sets of them, and their tokens."""

from fedsim.data.texts.hub import HuggingFaceTexts
from fedsim.data.texts.lines import TextFile
from fedsim.data.texts.messages import Messages
from fedsim.data.texts.own import OwnTexts
from fedsim.data.tokens import (
    IGNORED,
    Specials,
    Task,
    TextDataset,
    Texts,
    TokenDataset,
    TokenSplit,
)

__all__ = [
    "IGNORED",
    "HuggingFaceTexts",
    "Messages",
    "OwnTexts",
    "Specials",
    "Task",
    "TextDataset",
    "TextFile",
    "Texts",
    "TokenDataset",
    "TokenSplit",
]
