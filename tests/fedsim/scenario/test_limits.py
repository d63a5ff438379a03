"""Limits of scenarios of strangers, and how their files are encoded."""

from pathlib import Path

from fedsim.scenario import load_scenario
from tests.fedsim.small import refusal, small


def test_more_clients_than_a_simulation_can_have_are_refused() -> None:
    assert "1000000 in all; expected at most 100000" in refusal("clients.0.count=1000000")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text(small().to_toml(), "utf-8-sig")
    assert load_scenario(str(tmp_path / "case.toml")) == small()
