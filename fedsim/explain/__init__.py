"""Why an attack failed, from the log of a run."""

from fedsim.explain.cases import Case
from fedsim.explain.explanation import Explanation, explain
from fedsim.explain.finding import Finding

__all__ = ["Case", "Explanation", "Finding", "explain"]
