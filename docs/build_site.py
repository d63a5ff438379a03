"""The documentation as a web site: README and all pages that it leads to, by Zensical.

    uv run --group site python docs/build_site.py

The site is written to ``build/site``; its front page is ``build/site/index.html``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
PAGES = BUILD / "pages"
"""The pages and the files that they link to, in the folders that they have in the repository."""


def local_links(page: Path) -> set[Path]:
    """Return the files in the repository that a page in Markdown links to or shows."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)|(?:src|href)=\"([^\"#]+)\"", text)
    paths = (page.parent / (a or b) for a, b in targets if not (a or b).startswith("https:"))
    return {path.resolve() for path in paths}


def linked_files(start: Path) -> set[Path]:
    """Return a page and all files that it leads to, directly or over other pages."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        file = waiting.pop()
        if file not in found and file.is_file():
            found.add(file)
            waiting += local_links(file) if file.suffix == ".md" else ()
    return found


def main() -> int:
    """Collect the pages, build the site, and return the exit status: 0 without a warning."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for file in linked_files(ROOT / "README.md"):
        copy = PAGES / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    shutil.copy(ROOT / "docs" / "zensical.toml", BUILD)  # it must lie above pages and site
    build = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(build, cwd=BUILD, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
