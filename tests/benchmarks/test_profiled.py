from tests.benchmarks.profiled import shares


def test_shares() -> None:
    lines = [
        "main (fedsim/cli/main.py:1);_find_and_load (<frozen importlib._bootstrap>:2) 3",
        "work (x.py:1);run (server/solving.py:45);vmap (torch/func.py:1) 5",
        "go (fedsim/engine/run.py:1);gradient (/home/clients/training.py:1) 1",
        "main (elsewhere.py:1) 1",
        "listen (attack_process.py:1);read_frame (attack_process.py:2) 9",
    ]
    assert shares(lines) == {"attacks": 0.5, "imports": 0.3, "training": 0.1, "other": 0.1}
