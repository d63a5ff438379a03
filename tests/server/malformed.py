"""Malformed replies by kind of fault, drawn by hypothesis."""

import io
import pickle
from dataclasses import dataclass
from typing import Literal

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, MetricRecord, RecordDict
from hypothesis import strategies as st

from fedsim.data import LENGTHS_KEY

ASKED = 2
"""Number of examples that each client was asked to train on."""
VALUES: dict[str, np.ndarray] = {
    "n": np.asarray(4),
    "w": np.full((2, 3), -0.5, np.float32),
}
"""An honest upload: the gradient of a weight, and a counter."""

Content = RecordDict | Error
Expected = Literal["refused", "used", "either"]


@dataclass(frozen=True)
class Fault:
    """A kind of fault: its replies, and what has to become of them."""

    replies: st.SearchStrategy[Content]
    expected: Expected
    is_remarked: bool = False


def reply(
    arrays: ArrayRecord | None = None, metrics: MetricRecord | None = None, **more: ConfigRecord
) -> RecordDict:
    """Return an honest reply, except for what is given."""
    record = arrays_of({}) if arrays is None else arrays
    numbers = MetricRecord({"num-examples": ASKED}) if metrics is None else metrics
    return RecordDict({"arrays": record, "metrics": numbers, **more})


def arrays_of(changes: dict[str, np.ndarray]) -> ArrayRecord:
    """Return the honest arrays with changes."""
    return ArrayRecord({k: Array(np.asarray(v)) for k, v in {**VALUES, **changes}.items()})


def of_bytes(data: bytes, said: str = "float32") -> RecordDict:
    """Return a reply whose weight is these bytes."""
    record = arrays_of({})
    record["w"] = Array(said, (2, 3), "numpy.ndarray", data)
    return reply(record)


def npy(array: np.ndarray) -> bytes:
    """Return an array in NumPy's format."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def promising(size: int) -> bytes:
    """Return a header that promises an array of a size, and no array."""
    buffer = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (size,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def somewhere(
    value: st.SearchStrategy[float], kind: type = np.float32
) -> st.SearchStrategy[Content]:
    """Draw replies with values at some positions of the weight."""

    def put(value: float, mask: int) -> RecordDict:
        found = VALUES["w"].astype(kind)
        found.flat[[i for i in range(6) if mask >> i & 1]] = value
        return reply(arrays_of({"w": found}))

    return st.builds(put, value, st.integers(1, 63))


def signed(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw a number whose magnitude is in a range."""
    return st.builds(lambda x, s: x * s, st.floats(low, high), st.sampled_from([-1, 1]))


def corrupted() -> st.SearchStrategy[bytes]:
    """Draw bytes that are not the array that they should be."""
    good = npy(VALUES["w"])
    cut = st.integers(0, len(good) - 1).map(lambda n: good[:n])
    noise = st.binary(max_size=300)
    return st.one_of(cut, noise, noise.map(lambda b: good[:60] + b), st.just(pickle.dumps(good)))


def with_examples(value: object) -> RecordDict:
    """Return a reply that reports a number of examples."""
    return reply(metrics=MetricRecord({"num-examples": value}))  # type: ignore[dict-item]


NAMES = st.text(min_size=1, max_size=20)
NUMBERS = st.floats() | st.integers(-(2**63), 2**63) | st.lists(st.floats(), max_size=3)
WRONG_EXAMPLES = st.one_of(
    st.integers(max_value=0),
    st.integers(min_value=ASKED + 1),
    st.floats(allow_nan=True, allow_infinity=True).filter(lambda x: x not in (1.0, 2.0)),
    st.sampled_from([10**12, 1e12, 2**53, 10**400, -(10**400), 5e-324, float("nan")]),
    st.lists(st.integers(), max_size=3),
)
OTHER_SHAPES = st.lists(st.integers(0, 4), max_size=4).filter(lambda s: s != [2, 3])
USABLE_TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
UNUSABLE_TYPES = ["c8", "c16", "S4", "U3", "V8", "M8[s]", ">f4", ">i8"]


def typed(kind: str) -> RecordDict:
    """Return a reply whose weight is of a type."""
    return reply(arrays_of({"w": np.ones((2, 3), kind)}))


def said(found: str, kind: str) -> RecordDict:
    """Return a reply whose weight is of one type and is said to be of another."""
    return of_bytes(npy(np.ones((2, 3), kind)), found)


def without(name: str) -> RecordDict:
    """Return a reply that lacks a tensor."""
    record = arrays_of({})
    del record[name]
    return reply(record)


def renamed(names: list[str]) -> RecordDict:
    """Return a reply with the honest arrays under other names."""
    return reply(ArrayRecord({k: Array(v) for k, v in zip(names, VALUES.values(), strict=True)}))


def records(arrays: int, metrics: int) -> RecordDict:
    """Return a reply with some records of each kind."""
    found = {f"a{i}": arrays_of({}) for i in range(arrays)}
    numbers = {f"m{i}": MetricRecord({"num-examples": ASKED}) for i in range(metrics)}
    return RecordDict({**found, **numbers})


def named(one: str, other: str) -> RecordDict:
    """Return an honest reply whose records have other names."""
    numbers = MetricRecord({"num-examples": ASKED})
    return RecordDict({"a" + one: arrays_of({}), "m" + other: numbers})


def with_metrics(more: dict[str, object]) -> RecordDict:
    """Return a reply with more metrics."""
    numbers = {**more, "num-examples": ASKED}
    return reply(metrics=MetricRecord(numbers))  # type: ignore[arg-type]


def with_report(entries: dict[str, float]) -> RecordDict:
    """Return a reply with a report on its defenses."""
    return reply(defenses=ConfigRecord(entries))  # type: ignore[arg-type]


FAULTS: dict[str, Fault] = {
    "NaN": Fault(somewhere(st.just(float("nan"))), "refused"),
    "infinite": Fault(somewhere(st.sampled_from([np.inf, -np.inf])), "refused"),
    "finite, but not in float32": Fault(somewhere(signed(1e39, 1e308), np.float64), "refused"),
    "huge in float32": Fault(somewhere(signed(1e8, 3.4e38)), "used", is_remarked=True),
    "counter out of range": Fault(
        st.sampled_from([2**60, -(2**62), 1e30, -1e300]).map(
            lambda n: reply(arrays_of({"n": np.asarray(n)}))
        ),
        "refused",
    ),
    "tensor missing": Fault(st.sampled_from(sorted(VALUES)).map(without), "refused"),
    "tensor extra": Fault(
        NAMES.filter(lambda n: n not in VALUES).map(lambda n: reply(arrays_of({n: np.ones(2)}))),
        "refused",
    ),
    "other names": Fault(
        st.lists(NAMES, min_size=2, max_size=2, unique=True)
        .filter(lambda names: set(names) != set(VALUES))
        .map(renamed),
        "refused",
    ),
    "other shape or empty": Fault(
        OTHER_SHAPES.map(lambda s: reply(arrays_of({"w": np.ones(s, np.float32)}))), "refused"
    ),
    "gigantic": Fault(
        st.integers(10_000, 10**6).map(lambda n: reply(arrays_of({"w": np.ones(n, np.float32)})))
        | st.integers(10**6, 10**15).map(lambda n: of_bytes(promising(n))),
        "refused",
    ),
    "odd but real type": Fault(st.sampled_from(USABLE_TYPES).map(typed), "used"),
    "type that is not real": Fault(st.sampled_from(UNUSABLE_TYPES).map(typed), "refused"),
    "type said to be another": Fault(
        st.builds(said, NAMES.filter(lambda n: n != "float64"), st.just("f8")), "refused"
    ),
    "corrupted bytes": Fault(corrupted().map(of_bytes), "refused"),
    "records missing or double": Fault(
        st.builds(records, st.integers(0, 3), st.integers(0, 3)).filter(
            lambda c: (len(c.array_records), len(c.metric_records)) != (1, 1)
        ),
        "refused",
    ),
    "records of other names": Fault(st.builds(named, NAMES, NAMES), "used"),
    "num-examples": Fault(WRONG_EXAMPLES.map(with_examples), "refused"),
    "metrics of its own": Fault(
        st.dictionaries(NAMES, NUMBERS, max_size=4).map(with_metrics), "used"
    ),
    "size of the upload": Fault(
        NUMBERS.map(lambda x: with_metrics({"upload-bytes": x, "loss": x})), "used"
    ),
    "lengths of texts": Fault(
        st.lists(st.integers(-5, 10**6), max_size=5).map(lambda x: with_metrics({LENGTHS_KEY: x})),
        "used",
    ),
    "report on defenses": Fault(
        st.dictionaries(NAMES, st.floats(), max_size=4).map(with_report), "used"
    ),
    "report of 20,000 entries": Fault(
        st.just({f"{i}.x.y": 1.0 for i in range(20_000)}).map(with_report), "refused"
    ),
    "error": Fault(
        st.builds(Error, st.integers(0, 9), st.text()),
        "refused",
    ),
}


def mixed() -> st.SearchStrategy[Content]:
    """Draw a reply with the arrays of one fault and the metrics of another."""

    def both(one: Content, other: Content) -> Content:
        if isinstance(one, Error) or isinstance(other, Error):
            return one
        content: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {}
        content |= {f"x{k}": v for k, v in one.array_records.items()}
        content |= {f"y{k}": v for k, v in other.metric_records.items()}
        return RecordDict(content)

    every = st.one_of(*(f.replies for f in FAULTS.values()))
    return st.builds(both, every, every)


FAULTS["two faults at once"] = Fault(mixed(), "either")
