"""Derivation of independent seeds from the seed of a run, one for each purpose.

No code of the project draws from a global random state: a generator is derived from the run's
seed and from words and numbers that describe its purpose, so adding a draw in one place does not
change another.
"""

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**63) for one purpose of a run.

    Args:
        seed: the run's seed.
        purpose: description of the purpose, most general first, such as
            ``("batch", partition, round)``.
    """
    key = repr((int(seed), *purpose)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1
