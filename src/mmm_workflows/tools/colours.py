"""Colours of text and of what lies behind it, as far as style rules name them."""

from __future__ import annotations

import re
from typing import Final

type Colour = tuple[int, int, int]

WHITE: Final[Colour] = (255, 255, 255)
# Sum of the differences of red, green and blue below which nobody reads the text.
LOOK_ALIKE: Final = 30
FAINT_0_1: Final = 0.1
# No number of a longer value could be told from another.
LONGEST: Final = 200
HEX: Final = re.compile(r"#?([0-9a-f]{3,8})")
CHANNELS: Final = re.compile(r"(rgba?|hsla?)\(([^()]*)\)")
NAMES: Final[dict[str, Colour]] = {
    "white": WHITE, "snow": (255, 250, 250), "ivory": (255, 255, 240),
    "ghostwhite": (248, 248, 255), "whitesmoke": (245, 245, 245), "floralwhite": (255, 250, 240),
    "mintcream": (245, 255, 250), "azure": (240, 255, 255), "aliceblue": (240, 248, 255),
    "seashell": (255, 245, 238), "honeydew": (240, 255, 240), "oldlace": (253, 245, 230),
    "black": (0, 0, 0), "silver": (192, 192, 192), "lightgray": (211, 211, 211),
    "lightgrey": (211, 211, 211), "gainsboro": (220, 220, 220), "gray": (128, 128, 128),
    "grey": (128, 128, 128), "red": (255, 0, 0), "green": (0, 128, 0), "lime": (0, 255, 0),
    "blue": (0, 0, 255), "navy": (0, 0, 128), "yellow": (255, 255, 0), "orange": (255, 165, 0),
    "purple": (128, 0, 128), "teal": (0, 128, 128), "maroon": (128, 0, 0),
}  # fmt: skip
"""The names that hidden text is written in; an unknown one is taken for readable."""


def colour_of(
    value: str, inherited: Colour | None = None, otherwise: Colour | None = None
) -> Colour | None:
    """The colour of a text; None when it is not known, and so taken for readable.

    Args:
        value: As in a style rule, in lower case.
        inherited: What ``inherit`` stands for.
        otherwise: What holds when the value cannot be read, as a browser then ignores it.
    """
    return _read(value.strip(), inherited, otherwise)


def background_of(value: str, behind: Colour | None) -> Colour | None:
    """The colour behind a text; None when it is a picture or not known."""
    if "url(" in value or "gradient(" in value or "var(" in value:
        return None
    if value in ("none", "transparent", "initial", "inherit", "unset") or not value:
        return behind
    words = re.findall(r"[\w-]+\([^()]*\)|\S+", value)
    found = (_read(word, behind, None) for word in words)
    return next((colour for colour in found if colour is not None), behind)


def look_alike(colour: Colour | None, background: Colour | None) -> bool:
    """Whether a text of one colour cannot be read before the other."""
    if colour == TRANSPARENT:
        return True
    if colour is None or background is None:
        return False
    return sum(abs(a - b) for a, b in zip(colour, background, strict=True)) < LOOK_ALIKE


TRANSPARENT: Final[Colour] = (-1, -1, -1)
"""Of a text that is not painted at all."""


def _read(value: str, inherited: Colour | None, otherwise: Colour | None) -> Colour | None:
    value = value[:LONGEST].lower()
    if value in ("inherit", "currentcolor", "unset"):
        return inherited
    if value == "transparent":
        return TRANSPARENT
    if value in NAMES:
        return NAMES[value]
    if match := HEX.fullmatch(value):
        return _from_hex(match.group(1)) or otherwise
    if match := CHANNELS.fullmatch(value):
        return _from_channels(match.group(1), match.group(2)) or otherwise
    # A name or function that is not known here sets a colour that is not known either.
    return None if value.isalpha() or "(" in value else otherwise


def _from_hex(digits: str) -> Colour | None:
    if len(digits) in (3, 4):
        digits = "".join(2 * digit for digit in digits)
    if len(digits) not in (6, 8):
        return None
    if len(digits) == 8 and int(digits[6:], 16) < 255 * FAINT_0_1:
        return TRANSPARENT
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _from_channels(kind: str, inside: str) -> Colour | None:
    numbers = re.findall(r"(-?\d*\.?\d+)(%?)", inside)
    if len(numbers) < 3:
        return None
    if len(numbers) > 3 and float(numbers[3][0]) / (100 if numbers[3][1] else 1) < FAINT_0_1:
        return TRANSPARENT
    if kind.startswith("hsl"):
        # Of these only the lightness is read: near white or near black is what hides.
        level = round(float(numbers[2][0]) * 2.55)
        return (level, level, level) if level > 240 or level < 15 else None
    red, green, blue = (
        min(255, round(float(number) * (2.55 if share else 1))) for number, share in numbers[:3]
    )
    return red, green, blue
