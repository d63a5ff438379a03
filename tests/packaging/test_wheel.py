"""fedsim as users install it, in a folder where their own files have the names of its parts."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.packaging.folders import PARTS, ROOT, full_of_others, without_links

pytestmark = pytest.mark.wheel

WORK = """
import json
import fedsim, fedsim.attacks, fedsim.clients, fedsim.scenarios, fedsim.server
done = fedsim.run("mine.toml", out="run")
parts = (fedsim, fedsim.attacks, fedsim.clients, fedsim.scenarios, fedsim.server)
print(json.dumps({"files": [p.__file__ for p in parts], "victims": done.victims}))
"""


def build(project: Path, out: Path, *targets: str) -> Path:
    """Return what the build backend makes of a project."""
    chosen = [word for target in targets for word in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", *chosen, "-d", str(out)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    [built] = out.glob("*.whl" if targets == ("wheel",) else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="module")
def wheels(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the wheel that is built from the checkout, and that from its source archive."""
    folder = tmp_path_factory.mktemp("wheels")
    shutil.unpack_archive(sdist, folder / "sources", filter="data")
    [unpacked] = (folder / "sources").iterdir()
    return [
        build(ROOT, folder / "of the checkout", "wheel"),
        build(unpacked, folder / "of the archive", "wheel"),
    ]


@pytest.fixture(scope="module")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel; the dependencies are those of this one.

    A line in a .pth file adds a folder and reads no .pth file there: an editable fedsim stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    shutil.unpack_archive(wheels[0], site, "zip")  # pure Python: to unpack is to install
    own = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "dependencies.pth").write_text("\n".join(sorted(own)), encoding="utf-8")
    return folder / "bin" / "python"


def call(python: Path, folder: Path, *arguments: str, path: Path | None = None) -> str:
    """Return what Python prints in a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON"))}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [str(python), *arguments],
        cwd=folder, env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def work(python: Path, folder: Path, path: Path | None = None) -> dict[str, list[str]]:
    """Return where the parts of fedsim lie that did a small run in a folder, and its victims."""
    found: dict[str, list[str]] = json.loads(call(python, folder, "-c", WORK, path=path))
    return found


def test_both_wheels_hold_the_same_and_own_one_name(wheels: list[Path]) -> None:
    one, other = ({i.filename: i.CRC for i in zipfile.ZipFile(w).infolist()} for w in wheels)
    assert one == other
    assert {name.split("/")[0] for name in one} == {"fedsim", "fedsim_leakage-0.1.0.dist-info"}
    for part in PARTS:
        files = {p.relative_to(ROOT) for p in (ROOT / part).rglob("*") if p.is_file()}
        expected = {f"fedsim/{file.as_posix()}" for file in files if file.suffix != ".pyc"}
        assert expected <= set(one)
    assert "fedsim/py.typed" in one


def test_the_archive_holds_everything_once(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.split("/", 1)[1] for name in archive.getnames()]
    assert len(names) == len(set(names))
    assert not {name.split("/")[0] for name in names} & set(PARTS)
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"} <= set(names)


def test_it_works_beside_files_of_the_same_names(python: Path, tmp_path: Path) -> None:
    folder = full_of_others(tmp_path / "work")
    found = work(python, folder)
    assert all(Path(file).is_relative_to(python.parents[1]) for file in found["files"])
    assert found["victims"]
    assert "dlg" in call(python, folder, "-m", "fedsim", "list", "attacks")
    assert "quickstart" in call(python, folder, "-m", "fedsim", "list", "scenarios")
    printed = call(python, folder, "-m", "fedsim", "run", "mine.toml", "--out", "again")
    assert "run folder: again" in printed
    assert (folder / "again" / "report.html").is_file()


def test_it_works_where_links_are_not_kept(tmp_path: Path) -> None:
    sources, folder = without_links(tmp_path / "copy"), full_of_others(tmp_path / "work")
    found = json.loads(
        call(Path(sys.executable), folder, "-c", WORK, path=sources).splitlines()[-1]
    )
    assert all(Path(file).is_relative_to(sources) for file in found["files"])
    assert found["victims"]


def test_it_works_out_of_a_bundle_of_flower(tmp_path: Path) -> None:
    """As `flwr run` sends it to a SuperLink: no links, and no templates of reports.

    So a report is drawn where fedsim is installed, by `fedsim report`.
    """
    flwr = Path(sys.executable).with_name("flwr")
    subprocess.run([flwr, "build", "--app", ROOT], cwd=tmp_path, check=True, capture_output=True)
    [bundle] = tmp_path.glob("*.fab")
    path = tmp_path / "bundle"
    shutil.unpack_archive(bundle, path, "zip")
    folder = full_of_others(tmp_path / "work")
    found = work(Path(sys.executable), folder, path)
    assert all(Path(file).is_relative_to(path) for file in found["files"])
    assert found["victims"]
