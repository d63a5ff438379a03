"""Runs a scenario: the only part of fedsim that starts Flower."""

from fedsim.engine.flower import prepare_environment

prepare_environment()

from fedsim.engine.observer import Observer  # noqa: E402  (Flower reads its environment on import)
from fedsim.engine.run import EngineName, run, versions  # noqa: E402

__all__ = ["EngineName", "Observer", "run", "versions"]
