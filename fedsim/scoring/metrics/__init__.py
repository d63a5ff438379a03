"""Metrics of reconstructions, blind baselines, and verdicts.

A metric of your own extends `PictureMetric` or `TextMetric`: see ``docs/extending.md``. The
built-in ones are registered by importing this package, so that their names are taken.
"""

from fedsim.scoring.metrics import pictures, tokens
from fedsim.scoring.metrics.base import Metric, PictureMetric, TextMetric

__all__ = ["Metric", "PictureMetric", "TextMetric", "pictures", "tokens"]
