"""Folders in which a user works, and copies of the project as others get it."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("attacks", "clients", "server", "scenarios")
"""What lies in the root of the repository and is a part of fedsim."""

SCENARIO = """
title = "Small"
seed = 5
[model]
name = "mlp"
hidden = [4]
[federation]
rounds = 1
upload = "gradient"
batch_size = 2
[[clients]]
name = "plain"
count = 2
[adversary]
attack = { name = "dlg", evaluations = 3 }
"""
OWN = 'raise ImportError("a file of the user\'s own")\n'


def full_of_others(folder: Path) -> Path:
    """Return a new folder with a scenario and a user's own files of the names that fedsim has."""
    folder.mkdir()
    for name in PARTS:
        (folder / f"{name}.py").write_text(OWN, encoding="utf-8")
    for name in ("attacks", "scenarios"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(OWN, encoding="utf-8")
    (folder / "mine.toml").write_text(SCENARIO, encoding="utf-8")
    return folder


def without_links(folder: Path) -> Path:
    """Return a copy of the repository's code as a system without links has it."""
    ignored = shutil.ignore_patterns("__pycache__", *PARTS)
    shutil.copytree(ROOT / "fedsim", folder / "fedsim", ignore=ignored)
    for name in PARTS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
