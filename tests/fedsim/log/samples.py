"""One record of each kind, complete."""

from fedsim.log.schema import (
    Component,
    EmergenceRecord,
    ExampleScore,
    LeakageRecord,
    LogRecord,
    ManipulationRecord,
    Meaning,
    ModelTraits,
    NoteRecord,
    PrivacySpent,
    ReconstructionRecord,
    RoundRecord,
    RunEnded,
    RunStarted,
    Source,
    SumRecord,
    UploadRecord,
    Verdict,
)

STARTED = RunStarted(
    title="A run",
    seed=3,
    engine="inline",
    device="cpu",
    modality="pictures",
    task="classify",
    chance=0.1,
    random_label=0.1,
    estimate_s=None,
    model=ModelTraits(parameters=10, batch_statistics=0, piecewise_linear=1),
    versions={"fedsim": "0.1.0"},
    sources=(Source(kind="attack", name="dlg", text="Deep leakage"),),
    started="2026-01-02T03:04:05+0000",
    command=("fedsim", "run"),
)
UPLOAD = UploadRecord(
    round=1,
    partition=2,
    group="noisy",
    bytes=512.0,
    examples=1.0,
    loss=2.5,
    defenses=(Component(name="gaussian-noise", parameters={"std": 0.1}), Component(name="fp16")),
    did={"0.gaussian-noise.noise_std": 0.1},
    privacy=PrivacySpent(epsilon=8.0, delta=1e-5, unit="client"),
    digest="c0a5",
    problem=None,
)
TOTAL = SumRecord(
    round=1,
    partitions=(0, 2),
    bytes=512.0,
    examples=2,
    defenses=(Component(name="secagg+", parameters={"clients": 2}),),
    aggregation=Component(name="secagg+", parameters={"threshold": 2}),
    clear=("num-examples",),
    dropped={"1": "timed out"},
    costs={"bytes": 3.0},
    digest=None,
    problem=None,
)
MANIPULATION = ManipulationRecord(
    round=1,
    partitions=(0,),
    manipulation=Component(name="trap-weights"),
    what="set the weights of 'dense1' so that few examples activate a row",
    tensors=("dense1.weight", "dense1.bias"),
    constants={"scale": 0.85},
    expected=0.47,
    accuracy=0.09,
    honest_accuracy=0.158,
)
RECONSTRUCTION = ReconstructionRecord(
    victim="r0001-c0002-naive",
    round=1,
    partition=2,
    group="noisy",
    attacker="naive",
    attack="DLG",
    status="converged",
    objective=1e-9,
    truth_objective=0.0,
    evaluations=288,
    trial=0,
    seconds=0.5,
    approximate=False,
    error=None,
    tensors="tensors/r0001-c0002-naive.safetensors",
)
PICTURE = ExampleScore(
    example=0,
    metrics={"mse": 0.01, "psnr": 20.0, "ssim": 0.5, "detail": 0.4},
    baselines={
        "grey": {"psnr": 8.0, "ssim": 0.1},
        "mean": {"psnr": 11.0, "ssim": 0.2},
        "nearest": {"psnr": 15.0, "ssim": 0.4},
    },
    label=3,
    label_found=3,
    verdict=Verdict.PARTLY,
    meaning=Meaning.PARTLY,
)
TEXT = ExampleScore(
    example=1,
    metrics={"token_accuracy": 50.0, "rouge_l": 40.0, "exact": 0.0},
    baselines={"commonest": {"token_accuracy": 10.0, "rouge_l": 10.0}},
    verdict=Verdict.GUESSING,
    meaning=Meaning.PROTECTED,
    original=("the", "bill"),
    found=("the", "\x1b[2J"),
)
LEAKAGE = LeakageRecord(
    victim="r0001-c0002-naive",
    round=1,
    partition=2,
    group="noisy",
    attacker="naive",
    score=PICTURE,
)
EMERGENCE = EmergenceRecord(
    victim="r0001-c0002-naive", example=1, moments=((1, ("a", "b")), (4, ("the", "bill")))
)
ROUND = RoundRecord(round=1, accuracy=0.25)
NOTE = NoteRecord(round=1, partition=2, text="the client sends half precision")
ENDED = RunEnded(status="finished", error=None, seconds=1.5)

OF_A_TEXT = LEAKAGE.model_copy(update={"score": TEXT})

EVERY_KIND: tuple[LogRecord, ...] = (
    STARTED,
    UPLOAD,
    TOTAL,
    MANIPULATION,
    RECONSTRUCTION,
    LEAKAGE,
    OF_A_TEXT,
    EMERGENCE,
    ROUND,
    NOTE,
    ENDED,
)
