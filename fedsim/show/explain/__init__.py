"""Explanations of failed attacks, from the log of a run."""

from fedsim.show.explain.cases import Case
from fedsim.show.explain.explanation import Explanation, explain
from fedsim.show.explain.finding import Finding

__all__ = ["Case", "Explanation", "Finding", "explain"]
