"""What is usual in a product category: its target, paid lines and drivers, as starting points."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Category:
    """A product category, the words that give it away, and its usual series."""

    name: str
    words: tuple[str, ...]
    target: str
    channels: tuple[str, ...]
    controls: tuple[str, ...]


GENERIC: Final = Category(
    name="general",
    words=(),
    target="Revenue",
    channels=("TV", "Digital", "Search", "Social"),
    controls=("Price", "Promotion", "Holidays"),
)
CATEGORIES: Final = (
    Category(
        name="consumer packaged goods",
        words=("cpg", "fmcg", "packaged goods", "beverage", "drink", "snack", "food", "beer",
               "soda", "cosmetic", "detergent", "beauty"),
        target="Sales",
        channels=("TV", "Digital", "Social", "OOH", "Radio", "Trade marketing"),
        controls=("Price", "Promotion", "Distribution", "Temperature", "Holidays",
                  "Competitor activity"),
    ),
    Category(
        name="e-commerce",
        words=("e-commerce", "ecommerce", "online shop", "web shop", "dtc", "d2c",
               "direct to consumer", "marketplace"),
        target="Revenue",
        channels=("Search", "Social", "Display", "Affiliate", "Online video", "TV"),
        controls=("Price", "Promotion", "Delivery fee", "Holidays", "Stock availability"),
    ),
    Category(
        name="retail",
        words=("retail", "supermarket", "grocery", "store", "fashion", "apparel", "furniture"),
        target="Revenue",
        channels=("TV", "Radio", "Leaflets", "Search", "Social", "OOH"),
        controls=("Price", "Promotion", "Number of stores", "Holidays", "Weather"),
    ),
    Category(
        name="subscription",
        words=("subscription", "saas", "streaming", "app", "subscriber", "software"),
        target="New subscriptions",
        channels=("Search", "Social", "Online video", "Affiliate", "TV"),
        controls=("Price", "Trial offer", "Product launches", "Competitor activity"),
    ),
    Category(
        name="financial services",
        words=("bank", "insurance", "loan", "credit card", "fintech", "mortgage"),
        target="New contracts",
        channels=("Search", "TV", "Display", "Affiliate", "Radio"),
        controls=("Interest rate", "Price", "Consumer confidence", "Competitor activity"),
    ),
    Category(
        name="travel",
        words=("travel", "airline", "hotel", "tourism", "holiday resort", "booking"),
        target="Bookings",
        channels=("Search", "Social", "Display", "Affiliate", "TV", "OOH"),
        controls=("Price", "School holidays", "Weather", "Capacity"),
    ),
    Category(
        name="automotive",
        words=("automotive", "car brand", "car maker", "vehicle", "dealership"),
        target="Registrations",
        channels=("TV", "OOH", "Search", "Display", "Radio"),
        controls=("Price", "Incentives", "Model launches", "Consumer confidence"),
    ),
)  # fmt: skip

# Why a driver belongs in the model, and in which direction it should work.
DRIVER_REASONS: Final[dict[str, tuple[str, str]]] = {
    "Price": ("negative", "a higher price lowers demand, and price moves with campaigns"),
    "Promotion": ("positive", "promotions lift sales in the weeks in which media often runs"),
    "Distribution": ("positive", "what is not on the shelf cannot be bought"),
    "Temperature": ("positive", "warm weeks raise demand in many categories"),
    "Weather": ("either", "weather moves visits and demand"),
    "Holidays": ("positive", "holidays move demand and media plans alike"),
    "Competitor activity": ("negative", "rivals' campaigns take demand away"),
}
DEFAULT_DRIVER_REASON: Final = ("either", "it moves demand whether or not media runs")
# A page that says "app" once is not about apps.
MENTIONS_FROM: Final = 2
_WORDS: Final = {
    category.name: re.compile(
        rf"\b(?:{'|'.join(re.escape(word) for word in category.words)})s?\b", re.IGNORECASE
    )
    for category in CATEGORIES
}


def category_of(text: str) -> str | None:
    """The category that a page is about: the one whose words it uses most, and more than once.

    Returns:
        None when no category is named often enough, or two equally often.
    """
    counts = {name: len(words.findall(text)) for name, words in _WORDS.items()}
    most = max(counts.values())
    leaders = [name for name, count in counts.items() if count == most]
    return leaders[0] if most >= MENTIONS_FROM and len(leaders) == 1 else None
