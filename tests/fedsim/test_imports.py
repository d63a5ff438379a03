"""What is loaded with what: one fresh interpreter does one thing after another, light ones first.

Who may import whom inside the project is checked by import-linter; what a library brings along is
seen only here.
"""

import json
import subprocess
import sys

import pytest

from tests.fedsim.show.report.logs import Log

ATTACK = """
from fedsim.attacks import DLG
from fedsim.testing.victims import pictures
victims = pictures("mlp", 1)
assert DLG(evaluations=40).run(victims.model, victims.observations[:1])[0].data is not None
"""
FLOWER, TEXTS = ("flwr", "ray"), ("tokenizers", "transformers", "datasets")
HEAVY = ("torch", "torchvision", *FLOWER, *TEXTS)
STEPS = {
    "import fedsim": (*HEAVY, "numpy", "pydantic"),
    "import fedsim.log.summary": HEAVY,
    "from fedsim.show.explain import explain; explain(run)": HEAVY,
    "from fedsim.show.report.write import write_report; write_report(run)": (*HEAVY, "matplotlib"),
    "from fedsim.show.report.write import write_report; write_report(runs)": (*HEAVY, "matplotlib"),
    "import fedsim.show.figures": HEAVY,
    "import fedsim.clients.defenses": FLOWER,
    "from fedsim.data.texts import Messages; Messages().load(None)": (*FLOWER, *TEXTS),
    ATTACK: ("torch._dynamo",),  # two seconds, see `fedsim.core.derivatives`
}
INTERPRETER = """
import json, sys
from pathlib import Path
run, steps = Path(sys.argv[1]), json.loads(sys.argv[2])
runs, loaded = run.parent, {}
for step, heavy in steps.items():
    exec(step)
    loaded[step] = sorted(set(heavy) & set(sys.modules))
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    run = Log().write(tmp_path_factory.mktemp("imports") / "run")
    command = [sys.executable, "-c", INTERPRETER, str(run), json.dumps(STEPS)]
    done = subprocess.run(command, cwd=run.parent, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("step", STEPS)
def test_light_things_load_nothing_heavy(step: str, loaded: dict[str, list[str]]) -> None:
    assert loaded[step] == []
