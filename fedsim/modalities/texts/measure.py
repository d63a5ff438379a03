"""Headline measure of texts."""

from fedsim.core.measures import Measure

TOKENS = Measure(
    key="token_accuracy",
    name="tokens",
    unit="%",
    axis="tokens right, %",
    column="percent",
    second="rouge_l",
    recovered=100.0,
    recovered_name="exact",
    thing="text",
    told_of=" of the tokens",
    caption="tokens: share of a text's tokens that are correct in their positions, in %",
    leaked="texts that can be understood",
    statistic="share of correct tokens, in %, median",
)
