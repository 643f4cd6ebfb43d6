"""Questions that change the plan: increase, cut, move, set, stop, double."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from mmm_workflows.mmm.amounts import (
    AMOUNT,
    MONEY,
    PERCENT,
    AmountKind,
    SpokenAmount,
    read_amount,
)
from mmm_workflows.mmm.draws import Draws
from mmm_workflows.mmm.figures import money
from mmm_workflows.mmm.scenario import Change, ChangeKind
from mmm_workflows.mmm.spoken_channels import FILLERS, find_channels, words
from mmm_workflows.mmm.windows import Reference

UP: Final = r"(?:increase|raise|boost|grow|lift|up|add)"
DOWN: Final = r"(?:decrease|reduce|cut|lower|drop|trim|shrink|slash)"
STOP: Final = r"(?:stop|pause|kill|end|remove|eliminate|turn off|switch off|shut off|cut out)"
STATE: Final = r"(?:is|are|was|were|be|gets?|had been|has been|goes|went)"
WHOLLY: Final = r"(?:entirely|completely|altogether)"
MOVE: Final = r"(?:move|shift|reallocate|transfer|redirect)"
NAME: Final = r"(?P<channel>[^%€$£]+?)"
_POLITE: Final = (
    r"please|pls|kindly|hi|hello|hey|dear team|thanks|thank you|ok|okay|"
    r"(?:could|can|would|will) you|(?:show|tell) (?:me|us)|"
    r"(?:i|we)(?:'d| would) like (?:you )?to(?: know| see)?"
)
COURTESY: Final = re.compile(
    rf"^(?:(?:{_POLITE})\b[\s,;:]*)+|(?:[\s,;]+(?:please|pls|thanks|thank you))+$"
)
OPENING: Final = re.compile(
    r"^(?:(?:please|hey|hi|ok|so|and|now)\b[,\s]*)*"
    r"(?:what (?:happens|happened|would happen|will happen|would have happened) (?:if|when)|"
    r"what(?:'s| is| would be| will be)?(?: the (?:effect|impact|result)s?)?(?: of| if)?|"
    r"how (?:about|much more would we sell if)|"
    r"suppose|imagine|assume|simulate|let's|could we|can we|should we|if|and if)\b\s*"
    r"(?:happens? (?:if|when)\b\s*)?"
)
ACTORS: Final = re.compile(
    r"^(?:we|i|you|one|they)\s+(?:(?:had|have|were to|would|will|should|could|can|do)\s+)*"
    r"(?:to\s+)?"
)
PARTICIPLES: Final[dict[str, str]] = {
    "increased": "increase", "increasing": "increase", "raised": "raise", "raising": "raise",
    "boosted": "boost", "boosting": "boost", "decreased": "decrease", "decreasing": "decrease",
    "reduced": "reduce", "reducing": "reduce", "cutting": "cut", "lowered": "lower",
    "lowering": "lower", "doubled": "double", "doubling": "double", "halved": "halve",
    "halving": "halve", "tripled": "triple", "tripling": "triple", "stopped": "stop",
    "stopping": "stop", "paused": "pause", "pausing": "pause", "moved": "move",
    "moving": "move", "shifted": "shift", "shifting": "shift", "invested": "invest",
    "investing": "invest", "spending": "spend", "spent": "spend", "adding": "add", "added": "add",
}  # fmt: skip
# What parts one change from another; "and" and a comma may also part names.
TURN: Final = re.compile(r"\s*(?:;|\bthen\b|\bwhile\b|\bbut\b)\s*")
TIMES: Final[dict[str, float]] = {"double": 2.0, "halve": 0.5, "triple": 3.0, "twice": 2.0}
EVERYTHING: Final = SpokenAmount(text="all", kind=AmountKind.SHARE, value=1.0)
_FLAGS: Final = re.IGNORECASE
RULES: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (kind, re.compile(pattern, _FLAGS))
    for kind, pattern in (
        ("move", rf"{MOVE}\s+(?P<amount>{AMOUNT})\s+(?:of\s+)?(?:(?:the\s+)?(?P<of>[^%€$£]+?)\s+)?"
                 r"(?:(?:away\s+)?from|out\s+of)\s+(?P<source>.+?)\s+(?:to|into|towards)\s+"
                 r"(?P<sink>.+)"),
        ("move_of", rf"{MOVE}\s+(?P<amount>{AMOUNT})\s+of\s+(?P<source>.+?)\s+(?:to|into)\s+"
                    r"(?P<sink>.+)"),
        ("move_all", rf"{MOVE}\s+all\s+(?:of\s+)?(?P<source>.+?)\s+(?:to|into)\s+(?P<sink>.+)"),
        ("up", rf"{UP}\s+{NAME}\s+by\s+(?P<amount>{AMOUNT})"),
        ("down", rf"{DOWN}\s+{NAME}\s+by\s+(?P<amount>{AMOUNT})"),
        ("down", rf"{DOWN}\s+(?P<amount>{AMOUNT})\s+(?:from|of|off)\s+{NAME}"),
        ("down", rf"{DOWN}\s+{NAME}\s+in\s+(?P<amount>half)"),
        ("add", rf"add\s+(?P<amount>{AMOUNT})\s+(?:to|on)\s+{NAME}"),
        ("set", rf"bring\s+{NAME}\s+(?:(?P<less>down)|(?P<more>up))\s+to\s+(?P<amount>{MONEY})"),
        ("set", rf"(?:set|fix|bring|(?P<less>{DOWN})|(?P<more>{UP}))\s+{NAME}\s+(?:to|at)\s+"
                rf"(?P<amount>{MONEY})"),
        ("level", rf"(?:set|bring|(?P<less>{DOWN})|(?P<more>{UP}))\s+{NAME}\s+(?:to|at)\s+"
                  rf"(?P<amount>{PERCENT})\s+of\s+(?:its\s+|the\s+)?(?:current|reference|usual)"
                  r"(?:\s+(?:level|spend|budget))?"),
        ("set", rf"spend\s+(?P<amount>{MONEY})\s+(?:on|in|into)\s+{NAME}"),
        ("unclear", rf"(?:invest|put)\s+{MONEY}\s+(?:on|in|into)\s+{NAME}"),
        ("up", rf"(?:spend|invest|put)?\s*(?P<amount>{AMOUNT})\s+more\s+(?:(?:on|in|into|for)\s+)?"
               rf"{NAME}"),
        ("down", rf"(?:spend|invest|put)?\s*(?P<amount>{AMOUNT})\s+less\s+"
                 rf"(?:(?:on|in|into|for)\s+)?{NAME}"),
        ("times", rf"(?P<times>double|halve|triple)\s+{NAME}"),
        ("times", rf"(?:spend\s+)?(?P<times>twice)\s+as\s+much\s+(?:on|in)\s+{NAME}"),
        ("zero", rf"(?:drop|cut)\s+{NAME}\s+{WHOLLY}"),
        ("zero", rf"{STOP}\s+{NAME}(?:\s+{WHOLLY})?"),
        ("zero", rf"(?:set|cut|drop|reduce)\s+{NAME}\s+to\s+(?:zero|nothing)"),
        ("up", rf"{NAME}\s+(?:{STATE}\s+)?(?:up\s+(?:by\s+)?|\+\s*)(?P<amount>{AMOUNT})"),
        ("down", rf"{NAME}\s+(?:{STATE}\s+)?(?:down\s+(?:by\s+)?|-)(?P<amount>{AMOUNT})"),
        ("up", rf"{NAME}\s+{STATE}\s+{UP}\s+by\s+(?P<amount>{AMOUNT})"),
        ("down", rf"{NAME}\s+{STATE}\s+{DOWN}\s+by\s+(?P<amount>{AMOUNT})"),
        ("up", rf"{NAME}\s+{STATE}\s+(?P<amount>{AMOUNT})\s+higher"),
        ("down", rf"{NAME}\s+{STATE}\s+(?P<amount>{AMOUNT})\s+lower"),
        ("up", rf"\+\s*(?P<amount>{AMOUNT})\s+(?:(?:on|to|for)\s+)?{NAME}"),
        ("down", rf"-(?P<amount>{AMOUNT})\s+(?:(?:on|to|for)\s+)?{NAME}"),
        ("up", rf"(?:a\s+)?(?P<amount>{PERCENT})\s+(?:increase|rise|boost)\s+(?:of|in|on|to)\s+"
               rf"{NAME}"),
        ("down", rf"(?:a\s+)?(?P<amount>{PERCENT})\s+(?:decrease|cut|reduction)\s+"
                 rf"(?:of|in|on|to)\s+{NAME}"),
    )
)  # fmt: skip
_AND_BY: Final = re.compile(rf"{NAME}\s+by\s+(?P<amount>{AMOUNT})")
# A clause without a verb goes on with the one before it: "add 40k to TV and 10k to Radio".
SAME_AGAIN: Final[dict[str, re.Pattern[str]]] = {
    "up": _AND_BY,
    "down": _AND_BY,
    "add": re.compile(rf"(?P<amount>{AMOUNT})\s+(?:to|on)\s+{NAME}"),
    "zero": re.compile(NAME),
    "move": re.compile(
        rf"(?P<amount>{AMOUNT})\s+from\s+(?P<source>.+?)\s+(?:to|into)\s+(?P<sink>.+)"
    ),
    "move_of": re.compile(
        rf"(?P<amount>{AMOUNT})\s+of\s+(?P<source>.+?)\s+(?:to|into)\s+(?P<sink>.+)"
    ),
}


@dataclass
class Reading:
    """What was read of a question so far, and what must be asked."""

    draws: Draws
    reference: Reference
    changes: list[Change] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    direction: str | None = None
    is_read: bool = False

    def total_of(self, channel: str) -> float:
        """Money of a channel in the reference."""
        return float(self.reference.totals[self.draws.channels.index(channel)])

    def channels(self, text: str) -> tuple[str, ...]:
        """The channels of a phrase; a question is noted for each name that is none."""
        names: list[str] = []
        for name in re.split(r"\band\b|,", text):
            found = find_channels(name, self.draws.channels)
            if found.question is not None:
                self.questions.append(found.question)
            names += [n for n in found.names if n not in names]
        return tuple(names)

    def amount(self, text: str) -> SpokenAmount | None:
        """An amount; a question is noted when its unit is unclear or another currency's."""
        amount = read_amount(text)
        known = self.draws.spend_unit
        if amount.kind is AmountKind.UNCLEAR:
            self.questions.append(
                f"Is {amount.text!r} per cent or money? Write {amount.text}%, or an amount such "
                f"as {amount.text}k."
                if amount.text.isdecimal()
                else f"How much is {amount.text!r}? Write it as in 20%, 50k or 1,500,000."
            )
            return None
        if amount.currency is not None and known != "money" and amount.currency != known:
            self.questions.append(
                f"{amount.text!r} is in {amount.currency}, and the data is in {known}. What is it "
                f"in {known}?"
            )
            return None
        return amount


def read_changes(text: str, draws: Draws, reference: Reference) -> Reading:
    """Every clause of a question as changes of the plan, or as questions to ask back."""
    reading = Reading(draws, reference)
    for part in TURN.split(OPENING.sub("", text)):
        reading.direction = None
        _read_part(_clauses(part), reading)
    if not reading.questions and not reading.changes:
        reading.questions.append(how_to_ask(draws))
    _ask_about_second_changes(reading)
    return reading


def _read_part(clauses: list[str], reading: Reading) -> None:
    while clauses:
        clause = clauses.pop(0)
        # "increase TV and Radio by 10%": an "and" may also join names.
        while not _read_clause(clause, reading) and clauses:
            clause = f"{clause} and {clauses.pop(0)}"
        if not reading.is_read:
            reading.questions.append(
                f"What does {clause!r} mean for the plan? {how_to_ask(reading.draws)}"
            )


def _ask_about_second_changes(reading: Reading) -> None:
    """Money may be added twice; what else is said twice of a channel contradicts itself."""
    for name in dict.fromkeys(change.channel for change in reading.changes):
        changes = [change for change in reading.changes if change.channel == name]
        is_added = all(change.kind is ChangeKind.ADD for change in changes)
        if len(changes) > 1 and not (is_added and sum(change.amount for change in changes) != 0):
            reading.questions.append(f"{name} is changed more than once: which change is meant?")


def tidy(question: str) -> str:
    """A question in lower case, without marks at its end, verbs in one form."""
    text = question.strip().lower().replace("\u2019", "'")
    text = re.sub(r"[?!]+|\.+\s*$", " ", text)
    text = re.sub(r"\b(pct)\.", r"\1", text)
    text = re.sub(r"\.(?=\s)", ";", text)
    text = COURTESY.sub("", re.sub(r"\s+", " ", text).strip())
    text = re.sub(r"[a-z]+", lambda m: PARTICIPLES.get(m.group(), m.group()), text)
    return re.sub(r"\s+", " ", text).strip()


def _clauses(text: str) -> list[str]:
    """The clauses of a part, each with one change."""
    parts = re.split(r"\s*(?:,(?!\d)|\band\b)\s*", text)
    cleaned = (ACTORS.sub("", re.sub(r"\s+", " ", p).strip()) for p in parts)
    return [c for c in cleaned if c]


def _read_clause(clause: str, reading: Reading) -> bool:
    """Whether a rule reads the clause; what it says is noted."""
    reading.is_read = True
    for kind, pattern in RULES:
        match = pattern.fullmatch(clause)
        if match is None:
            continue
        _read_rule(kind, match, reading)
        reading.direction = kind
        return True
    kind = reading.direction or ""
    again = SAME_AGAIN[kind].fullmatch(clause) if kind in SAME_AGAIN else None
    if again is not None:
        _read_rule(kind, again, reading)
        return True
    reading.is_read = False
    return False


def _read_rule(kind: str, match: re.Match[str], reading: Reading) -> None:
    if kind.startswith("move"):
        _read_move(match, reading)
    elif kind == "unclear":
        reading.questions.append(
            f"Is {match.group()!r} on top of what there is, or all of it? Say 'add 50k to X' or "
            "'set X to 50k'."
        )
    else:
        _read_change(kind, match, reading)


def _read_change(kind: str, match: re.Match[str], reading: Reading) -> None:
    channels = reading.channels(match["channel"])
    groups = match.groupdict()
    if kind == "zero":
        reading.changes += [_change(c, ChangeKind.SET, 0.0) for c in channels]
        return
    if kind == "times":
        factor = TIMES[groups["times"]]
        reading.changes += [_change(c, ChangeKind.MULTIPLY, factor) for c in channels]
        return
    amount = reading.amount(groups["amount"])
    if amount is None or not channels:
        return
    if amount.kind is AmountKind.MONEY and len(channels) > 1:
        reading.questions.append(
            f"How should {amount.text} be divided among {', '.join(channels)}? Name an amount "
            "for each channel, or a percentage."
        )
        return
    if kind == "down" and amount.kind is AmountKind.SHARE and amount.value > 1:
        reading.questions.append(f"{amount.text} is more than all of it: by how much less?")
        return
    changes = [_scaled(kind, c, amount) for c in channels]
    if kind in ("set", "level"):
        _ask_about_direction(match, changes, reading)
    reading.changes += changes


def _ask_about_direction(match: re.Match[str], changes: list[Change], reading: Reading) -> None:
    """Note a question where "increase to" names less than there is, or "cut to" more."""
    groups = match.groupdict()
    for change in changes:
        usual = reading.total_of(change.channel)
        planned = change.amount * (usual if change.kind is ChangeKind.MULTIPLY else 1.0)
        if (groups.get("more") and planned < usual) or (groups.get("less") and planned > usual):
            reading.questions.append(
                f"{change.channel} has {money(usual, reading.draws.spend_unit)} in the window, so "
                f"{match.group()!r} contradicts itself. Which total is meant?"
            )


def _scaled(kind: str, channel: str, amount: SpokenAmount) -> Change:
    if kind == "set":
        return _change(channel, ChangeKind.SET, amount.value)
    if kind == "level":
        return _change(channel, ChangeKind.MULTIPLY, amount.value)
    sign = -1.0 if kind == "down" else 1.0
    if amount.kind is AmountKind.SHARE:
        return _change(channel, ChangeKind.MULTIPLY, 1 + sign * amount.value)
    return _change(channel, ChangeKind.ADD, sign * amount.value)


def _read_move(match: re.Match[str], reading: Reading) -> None:
    groups = match.groupdict()
    source, sink = reading.channels(match["source"]), reading.channels(match["sink"])
    amount = reading.amount(groups["amount"]) if "amount" in groups else EVERYTHING
    named = groups.get("of")
    is_share = amount is not None and amount.kind is AmountKind.SHARE
    # "10% of the budget from TV" may be a share of TV's or of the whole.
    if named and (is_share or set(words(named)) - FILLERS):
        reading.questions.append(f"What does {named!r} stand for in the move?")
        return
    if amount is None or not source or not sink:
        return
    if len(source) > 1 or len(sink) > 1 or source == sink:
        reading.questions.append("From which one channel to which other should the money move?")
        return
    total = amount.value
    if amount.kind is AmountKind.SHARE:
        total = amount.value * reading.total_of(source[0])
    reading.changes += [
        _change(source[0], ChangeKind.ADD, -total),
        _change(sink[0], ChangeKind.ADD, total),
    ]


def _change(channel: str, kind: ChangeKind, amount: float) -> Change:
    return Change(channel=channel, kind=kind, amount=amount)


def how_to_ask(draws: Draws) -> str:
    """Examples of questions that can be read, with the names of the model's channels."""
    name = draws.channels[0]
    return (
        f"Say for example 'increase {name} by 20%', 'move 50k from {name} to "
        f"{draws.channels[-1]}', 'cut {name} by a third next quarter', or 'optimise a budget of "
        f"2m'. Channels are {', '.join(draws.channels)}."
    )
