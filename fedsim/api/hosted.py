"""Process of an audited Flower app: ``python -m fedsim.api.hosted ORDER.json``."""

import sys
from pathlib import Path

from fedsim.core.environment import prepare

if __name__ == "__main__":
    prepare()
    from fedsim.api.apps import answer

    sys.exit(answer(Path(sys.argv[1])))
