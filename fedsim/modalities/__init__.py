"""The modalities that come with fedsim, one folder each.

Importing this package registers them, and loads none of their parts.
"""

from fedsim.modalities import pictures, texts

__all__ = ["pictures", "texts"]
