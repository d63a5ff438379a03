"""Known causes of failure, one function each, from facts to a finding or None.

Strengths rank causes that hold at the same time: causes of wrong equations come before causes of
equations that are hard to solve.
"""

from __future__ import annotations

from collections.abc import Callable

from fedsim.show.explain.cases import Case
from fedsim.show.explain.equations import EQUATIONS
from fedsim.show.explain.finding import Finding
from fedsim.show.explain.isolation import not_isolated, refused_the_model
from fedsim.show.explain.searches import SEARCHES

Cause = Callable[[Case, Case | None], Finding | None]

CAUSES: tuple[Cause, ...] = (refused_the_model, not_isolated, *EQUATIONS, *SEARCHES)
