"""The kinds of data that a scenario can be about."""

from enum import StrEnum


class Modality(StrEnum):
    """What clients hold, models take and attacks rebuild."""

    PICTURES = "pictures"
    TEXTS = "texts"
