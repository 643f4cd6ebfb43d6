"""How far a source is trusted, by where it stands, never by what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit


class SourceTier(StrEnum):
    """Kinds of sources, the most trusted first."""

    PEER_REVIEWED = "peer-reviewed"
    META_ANALYSIS = "meta-analysis"
    OFFICIAL_STATISTICS = "official statistics"
    VENDOR = "vendor"
    BLOG = "blog"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """0 for the most trusted."""
        return list(SourceTier).index(self)


_JOURNALS: Final = (
    "academic.oup.com", "cambridge.org", "dl.acm.org", "emerald.com", "jstor.org",
    "journals.sagepub.com", "journals.uchicago.edu", "link.springer.com", "nature.com",
    "onlinelibrary.wiley.com", "pnas.org", "pubsonline.informs.org", "sciencedirect.com",
    "science.org", "tandfonline.com",
)  # fmt: skip
# Preprints and institutes are not reviewed; a survey of studies on them may be a meta-analysis.
_ACADEMIC: Final = (
    "arxiv.org", "ehrenbergbass.org.au", "ipa.co.uk", "msi.org", "nber.org", "ssrn.com",
    "thearf.org", "warc.com",
)  # fmt: skip
_OFFICIAL: Final = (
    "bls.gov", "census.gov", "destatis.de", "ec.europa.eu", "europa.eu", "insee.fr", "istat.it",
    "oecd.org", "ons.gov.uk", "statcan.gc.ca", "worldbank.org",
)  # fmt: skip
# Of platforms only the hosts on which they write themselves; the others hold anybody's posts.
_VENDORS: Final = (
    "about.ads.microsoft.com", "about.fb.com", "ads.tiktok.com", "advertising.amazon.com",
    "analyticpartners.com", "blog.google", "business.pinterest.com", "circana.com",
    "developers.google.com", "ekimetrics.com", "forbusiness.snapchat.com", "getrecast.com",
    "haus.io", "kantar.com", "measured.com", "ncsolutions.com", "nielsen.com", "pymc-labs.com",
    "support.google.com", "thinkwithgoogle.com",
)  # fmt: skip
_BLOGS: Final = (
    "blogspot.com", "dev.to", "ghost.io", "hashnode.dev", "linkedin.com", "medium.com",
    "reddit.com", "substack.com", "towardsdatascience.com", "tumblr.com", "wordpress.com",
)  # fmt: skip

KNOWN_HOSTS: Final[Mapping[str, SourceTier]] = MappingProxyType({
    **dict.fromkeys(_JOURNALS, SourceTier.PEER_REVIEWED),
    **dict.fromkeys(_OFFICIAL, SourceTier.OFFICIAL_STATISTICS),
    **dict.fromkeys(_VENDORS, SourceTier.VENDOR),
    **dict.fromkeys(_BLOGS, SourceTier.BLOG),
})  # fmt: skip
_GOVERNMENT: Final = re.compile(r"(?:^|\.)(?:gov|gov\.[a-z]{2}|gouv\.fr|gc\.ca)$")
_CAMPUS: Final = re.compile(r"(?:^|\.)(?:edu|edu\.[a-z]{2}|ac\.[a-z]{2})$")
_REVIEW: Final = re.compile(r"\bmeta-?\s?analy|\bsystematic review\b", re.IGNORECASE)
_WITHDRAWN: Final = re.compile(r"\b(?:retract|withdrawn)", re.IGNORECASE)
_BLOG_PATH: Final = re.compile(r"/blogs?(?:/|$)", re.IGNORECASE)


def tier_of(url: str, title: str, hosts: Mapping[str, SourceTier] = KNOWN_HOSTS) -> SourceTier:
    """The tier of the page at an address (the one after redirects).

    Rules, first hit counts: a title that says retracted is unknown; a ``blog.`` host or ``/blog/``
    path is a blog, but a vendor's is the vendor's; a host of ``hosts`` or below one has its tier; a
    host of a government has official statistics; a preprint server, institute or university has a
    meta-analysis when the title says so, else it is unknown. A title raises nothing elsewhere.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme not in ("http", "https") or not host or _WITHDRAWN.search(title):
        return SourceTier.UNKNOWN
    names = host.split(".")
    above = [".".join(names[i:]) for i in range(len(names))]
    known = next((hosts[name] for name in above if name in hosts), None)
    is_blog = names[0] == "blog" or _BLOG_PATH.search(parts.path) is not None
    if is_blog and known is not SourceTier.VENDOR:
        return SourceTier.BLOG
    if known is not None:
        return known
    if _GOVERNMENT.search(host):
        return SourceTier.OFFICIAL_STATISTICS
    is_academic = any(name in _ACADEMIC for name in above) or _CAMPUS.search(host)
    return SourceTier.META_ANALYSIS if is_academic and _REVIEW.search(title) else SourceTier.UNKNOWN
