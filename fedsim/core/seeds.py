"""One seed for a run, one independent generator for each purpose.

Nothing in the project draws from a global random state: a generator is derived from the
run's seed and from words and numbers that say what it is for, so that adding a draw in one
place changes nothing in another.
"""

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**63) for one purpose of a run.

    Args:
        seed: the run's seed.
        purpose: what the draws are for, most general first, such as
            ``("batch", partition, round)``.
    """
    key = repr((int(seed), *purpose)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1
