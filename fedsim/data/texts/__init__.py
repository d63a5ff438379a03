"""Data sets of texts."""

from fedsim.data.texts.hub import HuggingFaceTexts
from fedsim.data.texts.lines import TextFile
from fedsim.data.texts.messages import Messages
from fedsim.data.texts.own import OwnTexts

__all__ = [
    "HuggingFaceTexts",
    "Messages",
    "OwnTexts",
    "TextFile",
]
