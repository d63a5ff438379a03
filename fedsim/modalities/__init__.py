"""The kinds of data that come with fedsim: a folder for each.

Importing this package registers them, and loads none of their parts.
"""

from fedsim.modalities import pictures, texts

__all__ = ["pictures", "texts"]
