"""Execution of scenarios; the only part of fedsim that starts Flower."""

from fedsim.core.environment import prepare

prepare()

from fedsim.engine.observer import Observer  # noqa: E402  (Flower reads its environment on import)
from fedsim.engine.past import EngineName  # noqa: E402
from fedsim.engine.recorder import versions  # noqa: E402
from fedsim.engine.run import resume, run  # noqa: E402

__all__ = ["EngineName", "Observer", "resume", "run", "versions"]
