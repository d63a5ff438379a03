"""Lessons on leakage in federated learning, from the first gradient to defenses that work."""

from fedsim.lessons.course import Ran, lesson
from fedsim.lessons.plan import Lesson, lessons, load_lesson

__all__ = ["Lesson", "Ran", "lesson", "lessons", "load_lesson"]
