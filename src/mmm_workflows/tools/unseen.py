"""Takes out of a page what a reader does not see, so that hidden instructions reach no one."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from mmm_workflows.tools.colours import WHITE, Colour, background_of, colour_of, look_alike
from mmm_workflows.tools.stylesheet import Declarations, StyleSheet

_NEVER_SHOWN: Final = """
    annotation annotation-xml applet area audio base button canvas datalist embed frame frameset
    head iframe img input link map meta meter noembed noframes noscript object optgroup option
    param picture progress rp script select source style svg template textarea track video
"""
# Elements whose content is never shown as text of the page, and form controls.
NEVER_SHOWN: Final = frozenset(_NEVER_SHOWN.split())
_OFFSETS: Final = """
    left right top bottom margin margin-left margin-top text-indent inset inset-inline-start
    inset-inline-end inset-block-start inset-block-end translate transform
"""
OFFSETS: Final = frozenset(_OFFSETS.split())
BOX: Final = frozenset({"width", "height", "max-width", "max-height"})
OFF_SCREEN_PX: Final = (-400.0, 4000.0)
UNREADABLE_PX: Final = 3.0
FAINT_0_1: Final = 0.1
NUMBER: Final = re.compile(
    r"([+-]?\d*\.?\d+(?:e[+-]?\d+)?)\s*(px|pt|em|rem|ex|ch|vw|vh|%|cm|mm|in|pc)?"
)
RELATIVE: Final = frozenset({"em", "ex", "ch"})
_ABSOLUTE_PX = {"": 1.0, "px": 1.0, "pt": 1.33, "cm": 37.8, "mm": 3.78, "in": 96.0, "pc": 16.0}
_RELATIVE_PX = {"em": 16.0, "rem": 16.0, "ex": 8.0, "ch": 8.0, "vw": 12.8, "vh": 7.2}
# A box that is moved by its own width, or to the other side of what holds it, is out of sight;
# half of it is how boxes are centred.
PX_PER: Final = {**_ABSOLUTE_PX, **_RELATIVE_PX, "%": 4.0}
KEYWORDS_PX: Final = {
    "xx-small": 9.0,
    "x-small": 10.0,
    "small": 13.0,
    "medium": 16.0,
    "initial": 16.0,
    "large": 18.0,
    "x-large": 24.0,
    "xx-large": 32.0,
}
CLIPPED: Final = re.compile(
    r"rect\(\s*[01](px)?[\s,]+[01](px)?[\s,]+[01](px)?[\s,]+[01](px)?\s*\)"
    r"|inset\(\s*(50|[6-9]\d|100)%|circle\(\s*0|ellipse\(\s*0|polygon\(\s*0[\s,0pxe%]*\)"
)
SHRUNK: Final = re.compile(r"scale\w*\(\s*0?(\.0\d*)?\s*[,)]")
FONT_SIZE: Final = re.compile(r"(?:^|\s)([\d.]+(?:px|pt|em|rem|%)?)\s*(?=/|\s)")


@dataclass(frozen=True)
class _Look:
    """What text takes over from the elements around it."""

    colour: Colour | None = (0, 0, 0)
    background: Colour | None = WHITE
    invisible: bool = False
    size_px: float = 16.0

    @property
    def shows_text(self) -> bool:
        """Whether a reader can see what is written in this way."""
        readable = self.size_px >= UNREADABLE_PX and not look_alike(self.colour, self.background)
        return readable and not self.invisible


def remove_unseen(root: HtmlElement) -> None:
    """Take out, in place, every element and every piece of text that a reader does not see."""
    sheet = StyleSheet()
    for style in root.iter("style"):
        sheet.add(f"@media {style.get('media') or 'all'}{{{''.join(style.itertext())}}}")
    looks: dict[HtmlElement, _Look] = {}
    hidden: list[HtmlElement] = []
    walk = etree.iterwalk(root, events=("start", "comment", "pi"))
    for event, element in walk:
        if event != "start" or not isinstance(element.tag, str):
            hidden.append(element)
            continue
        declarations = sheet.of(element)
        if _is_taken_out(element, declarations):
            hidden.append(element)
            walk.skip_subtree()
            continue
        around = looks.get(element.getparent(), _Look())
        looks[element] = _look(around, declarations, element)
    for element, look in looks.items():
        if not look.shows_text:
            _blank(element)
    for element in hidden:
        _drop(element)


def _is_taken_out(element: HtmlElement, declarations: Declarations) -> bool:
    return (
        element.tag in NEVER_SHOWN
        or element.get("hidden") is not None
        or element.get("popover") is not None
        or element.get("aria-hidden", "").strip().lower() == "true"
        or (element.tag == "dialog" and element.get("open") is None)
        or _has_no_box(declarations)
    )


def _has_no_box(declarations: Declarations) -> bool:
    # Any of them counts, not the last: a browser passes over values that it cannot read.
    said = set(declarations)
    if any(_hides(name, value) for name, value in said):
        return True
    squeezed = any(name in BOX and _is_nothing(value) for name, value in said)
    return squeezed and any(n.startswith("overflow") and "visible" not in v for n, v in said)


def _hides(name: str, value: str) -> bool:
    if name == "display":
        return value == "none"
    if name == "content-visibility":
        return value == "hidden"
    if name == "opacity":
        return _is_faint(value)
    if name == "filter":
        return "opacity(0" in value.replace(" ", "")
    if name in ("clip", "clip-path"):
        return CLIPPED.search(value) is not None
    if name in ("scale", "zoom"):
        return _is_faint(value)
    if name in OFFSETS:
        low, high = OFF_SCREEN_PX
        moved = any(not low < size < high for size in _sizes(value))
        return moved or SHRUNK.search(value) is not None
    return False


def _look(around: _Look, declarations: Declarations, element: HtmlElement) -> _Look:
    look = around
    if element.get("bgcolor"):
        look = replace(look, background=colour_of(element.get("bgcolor")))
    written_in = {"font": element.get("color"), "body": element.get("text")}.get(element.tag)
    if written_in:
        look = replace(look, colour=colour_of(written_in))
    for name, value in declarations:
        if name == "visibility":
            look = replace(look, invisible=value in ("hidden", "collapse"))
        elif name in ("font-size", "font"):
            size_px = _font_px(name, value, around.size_px)
            look = look if size_px is None else replace(look, size_px=size_px)
        elif name in ("color", "-webkit-text-fill-color"):
            look = replace(look, colour=colour_of(value, around.colour, look.colour))
        elif name in ("background", "background-color", "background-image"):
            look = replace(look, background=background_of(value, look.background))
    return look


def _font_px(name: str, value: str, around_px: float) -> float | None:
    """The size of letters in px; None when a browser would not take the value, or it is unknown."""
    if name == "font":
        found = FONT_SIZE.search(f"{value} ")
        value = found.group(1) if found else ""
    if value in ("inherit", "unset", "smaller", "larger"):
        return around_px
    match = NUMBER.fullmatch(value)
    if match is None:
        return KEYWORDS_PX.get(value)
    number, unit = float(match.group(1)), match.group(2) or ""
    if unit == "%":
        return around_px * number / 100
    return number * (around_px if unit in RELATIVE else PX_PER[unit])


def _is_faint(value: str) -> bool:
    match = NUMBER.fullmatch(value)
    if match is None:
        return False
    return float(match.group(1)) / (100 if match.group(2) == "%" else 1) < FAINT_0_1


def _is_nothing(value: str) -> bool:
    return NUMBER.fullmatch(value) is not None and _sizes(value)[0] <= 1


def _sizes(value: str) -> list[float]:
    return [float(number) * PX_PER[unit] for number, unit in NUMBER.findall(value)]


def _blank(element: HtmlElement) -> None:
    """Take an element's own text; what stands in its children is theirs."""
    element.text = None
    for child in element:
        child.tail = None


def _drop(element: HtmlElement) -> None:
    """Take an element out and leave the text that follows it."""
    parent = element.getparent()
    if parent is None:
        for child in list(element):
            element.remove(child)
        element.text = None
        return
    before = element.getprevious()
    if before is not None:
        before.tail = (before.tail or "") + (element.tail or "")
    else:
        parent.text = (parent.text or "") + (element.tail or "")
    element.tail = None
    parent.remove(element)
