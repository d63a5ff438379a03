"""Lessons: what federated learning gives away, from the first gradient to what protects."""

from fedsim.lessons.course import Ran, lesson
from fedsim.lessons.plan import Lesson, lessons, load_lesson

__all__ = ["Lesson", "Ran", "lesson", "lessons", "load_lesson"]
