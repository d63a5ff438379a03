"""Headline measure of pictures."""

from fedsim.core.measures import Measure

PSNR = Measure(
    key="psnr",
    name="PSNR",
    unit=" dB",
    axis="PSNR, dB",
    column="db",
    second="ssim",
    recovered=30.0,
    recovered_name="≥30 dB",
    thing="picture",
    told_of="",
    caption="PSNR, in dB",
    leaked="pictures that are recognisable",
    statistic="median in dB",
)
