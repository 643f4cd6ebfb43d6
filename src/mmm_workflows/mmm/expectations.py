"""What is usual of a kind of channel: how it carries over, saturates, and who sets its spend.

These are defaults for a plan without evidence. Each has a reason in the channel's nature, none has
a source, and the plan marks them as defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mmm_workflows.mmm.channel_words import kind_of_channel
from mmm_workflows.mmm.names import words_of
from mmm_workflows.mmm.plan import ExpectedAdstock, ExpectedSaturation
from mmm_workflows.mmm.spec import Adstock, Saturation

type Onset = Literal["early", "middle", "late"]


@dataclass(frozen=True)
class Usual:
    """The defaults of a kind of channel.

    Attributes:
        half_life_weeks: Low and high; wide, because it is no evidence.
        demand_driven: Why demand sets its spend; None where a plan sets it.
    """

    half_life_weeks: tuple[float, float]
    carries: str
    onset: Onset
    saturates: str
    demand_driven: str | None = None


_USUAL: Final = {
    "TV": Usual((1.0, 6.0), "it is seen before there is a need and remembered until there is one",
                "middle", "reach grows first, then the same people see it again"),
    "Radio": Usual((0.5, 3.0), "it is heard often and reminds of what is bought soon", "middle",
                   "its listeners are the same every day"),
    "OOH": Usual((1.0, 5.0), "posters hang for weeks and are passed again", "middle",
                 "more sites reach the same passers-by"),
    "Print": Usual((0.5, 4.0), "copies lie about and are read later", "middle",
                   "its readers are a limited group"),
    "Search": Usual((0.1, 1.0), "it answers a need at the moment it is felt", "early",
                    "only so many people search in a week",
                    "people who search already want to buy, and clicks are billed when they do"),
    "Social": Usual((0.3, 2.0), "a feed passes quickly", "middle",
                    "platforms reach the likeliest buyers first"),
    "Display": Usual((0.2, 2.0), "banners are noticed briefly", "middle",
                     "the same screens are filled again",
                     "retargeting follows people who have shown interest already"),
    "Online video": Usual((0.5, 4.0), "it tells a story as TV does, to fewer people", "middle",
                          "reach grows first, then the same people see it again"),
    "Affiliate": Usual((0.1, 1.0), "it stands next to the purchase", "late",
                       "it is paid per sale, so spend and sales rise together",
                       "partners are paid per sale, so sales set the spend"),
}  # fmt: skip
_UNKNOWN: Final = Usual(
    (0.2, 4.0), "nothing is known of this kind of channel", "middle", "returns diminish in general"
)
# Considered purchases are made weeks after they were thought of.
SLOW_CATEGORIES: Final = frozenset({"automotive", "financial services", "travel"})
_BUILDS_UP: Final = frozenset({"TV", "OOH", "Print", "Online video"})
_RETARGETING: Final = frozenset({"retargeting", "remarketing", "brandsearch"})


def usual_of(channel: str) -> Usual:
    """The defaults of a channel by the kind that its name gives away."""
    kind = kind_of_channel(channel)
    return _USUAL.get(kind, _UNKNOWN) if kind is not None else _UNKNOWN


def expected_adstock(channel: str, category: str) -> ExpectedAdstock:
    """The carry-over that is usual of a channel in a category."""
    usual = usual_of(channel)
    is_slow = category in SLOW_CATEGORIES and kind_of_channel(channel) in _BUILDS_UP
    later = f"; in {category} the purchase comes weeks after the thought of it" if is_slow else ""
    return ExpectedAdstock(
        shape=Adstock.DELAYED if is_slow else Adstock.GEOMETRIC,
        half_life_weeks=usual.half_life_weeks,
        why=f"{usual.carries}{later}",
    )


def expected_saturation(channel: str) -> ExpectedSaturation:
    """The diminishing returns that are usual of a channel."""
    usual = usual_of(channel)
    return ExpectedSaturation(shape=Saturation.LOGISTIC, onset=usual.onset, why=usual.saturates)


def demand_reason(channel: str) -> str | None:
    """Why demand sets a channel's spend; None where a plan sets it."""
    if _RETARGETING & set(words_of(channel)):
        return _USUAL["Display"].demand_driven
    return usual_of(channel).demand_driven
