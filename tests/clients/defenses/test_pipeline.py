"""Several defenses together: order, records and size on the wire."""

import pytest
import torch
from torch import Tensor

from fedsim.clients.defenses import (
    Bfloat16,
    Defense,
    Fp16,
    GaussianNoise,
    Int8,
    LaplacianNoise,
    NoDefense,
    ProtectedUpload,
    Pruning,
    defense_generator,
    fresh_generator,
    payload_bytes,
    protect,
)
from fedsim.core.checked import checked
from fedsim.core.errors import UnknownNameError


def ramp(count: int) -> Tensor:
    """Return values without zeros, of which int8 leaves none zero either."""
    return torch.linspace(1, 2, count)


def run(defenses: list[Defense], upload: dict[str, Tensor]) -> ProtectedUpload:
    return protect(defenses, upload, defense_generator(0, 0, 1))


@pytest.mark.parametrize(
    ("defenses", "expected"),
    [
        ([], 4000),
        ([NoDefense()], 4000),
        ([GaussianNoise(std=0.1)], 4000),
        ([Fp16()], 2000),
        ([Bfloat16()], 2000),
        ([Int8()], 1000 + 4),
        ([Pruning(fraction=0.5)], 500 * 4 + 125),
        ([Pruning(fraction=0.01)], 4000),
        ([Pruning(fraction=0.99)], 10 * 4 + 10 * 4),
        ([Pruning(fraction=1.0)], 0),
        ([Pruning(fraction=0.5), Fp16()], 500 * 2 + 125),
        ([Fp16(), Pruning(fraction=0.5)], 500 * 2 + 125),
        ([Int8(), Pruning(fraction=0.9)], 100 + 125 + 4),
        ([Fp16(), GaussianNoise(std=0.1)], 4000),
        ([Fp16(), GaussianNoise(std=0.0)], 2000),
        ([Int8(), LaplacianNoise(scale=0.1)], 4000),
        ([Int8(), Fp16()], 2000),
        ([Int8(), Int8()], 1000 + 4),
        ([GaussianNoise(std=1e-3), Int8()], 1000 + 4),
    ],
    ids=str,
)
def test_bytes_of_a_thousand_values(defenses: list[Defense], expected: int) -> None:
    assert run(defenses, {"g": ramp(1000)}).num_bytes == expected


def test_bytes_add_up_over_tensors_and_round_up_in_each() -> None:
    sparse = torch.zeros(9)
    sparse[4] = 1.0
    counter = torch.tensor(5)
    assert payload_bytes({"a": sparse}) == 4 + 2
    assert payload_bytes({"a": sparse, "b": ramp(3), "n": counter}) == 6 + 12 + 8
    assert payload_bytes({"a": sparse}, value_bits=1) == 2
    assert payload_bytes({}) == 0


def test_bytes_of_a_double_precision_upload() -> None:
    upload = {"g": ramp(1000).double()}
    assert run([], upload).num_bytes == 8000
    assert run([Fp16()], upload).num_bytes == 2000
    assert run([Fp16(), GaussianNoise(std=0.1)], upload).num_bytes == 8000


def test_a_half_precision_upload_does_not_grow() -> None:
    assert run([GaussianNoise(std=0.1)], {"g": ramp(10).half(), "h": ramp(10)}).num_bytes == 60


def test_order_matters() -> None:
    upload = {"g": ramp(100)}
    noise, pruning = GaussianNoise(std=0.1), Pruning(fraction=0.5)
    filled = run([pruning, noise], upload)
    kept = run([noise, pruning], upload)
    assert int(filled.tensors["g"].count_nonzero()) == 100
    assert int(kept.tensors["g"].count_nonzero()) == 50
    assert [r.name for r in filled.records] == ["pruning", "gaussian-noise"]
    assert [r.name for r in kept.records] == ["gaussian-noise", "pruning"]


def test_one_record_per_defense_even_of_the_same_kind() -> None:
    done = run([Pruning(fraction=0.5), Pruning(fraction=0.9)], {"g": ramp(100)})
    assert [r.parameters for r in done.records] == [{"fraction": 0.5}, {"fraction": 0.9}]
    assert [r.did["kept_fraction"] for r in done.records] == pytest.approx([0.5, 0.1])


def test_two_noises_differ() -> None:
    once = run([GaussianNoise(std=1.0)], {"g": torch.zeros(1000)}).tensors["g"]
    twice = run([GaussianNoise(std=1.0)] * 2, {"g": torch.zeros(1000)}).tensors["g"]
    assert float(twice.std() / once.std()) == pytest.approx(2**0.5, rel=0.1)


def test_no_defense_gives_the_upload_itself() -> None:
    upload = {"g": ramp(10)}
    done = run([], upload)
    assert torch.equal(done.tensors["g"], upload["g"])
    assert done.records == ()


def test_a_defense_without_a_name_is_refused() -> None:
    @checked
    class Nameless(Defense):
        """Not registered."""

    with pytest.raises(UnknownNameError, match="Nameless is not a registered defense"):
        run([Nameless()], {"g": ramp(3)})


def test_generator_is_a_function_of_seed_partition_and_round() -> None:
    def draw(*where: int) -> float:
        return float(torch.rand((), generator=defense_generator(*where)))

    assert draw(7, 1, 2) == draw(7, 1, 2)
    assert len({draw(7, 1, 2), draw(7, 2, 1), draw(7, 1, 3), draw(8, 1, 2)}) == 4


def test_fresh_generators_differ() -> None:
    draws = [torch.rand(4, generator=fresh_generator()) for _ in range(2)]
    assert not torch.equal(*draws)
