"""Days people speak of: "yesterday", "last May", "7 March 2024" as days of the calendar.

Times are Unix seconds read in the local zone, as a person would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

MONTHS = (
    "january february march april may june july august september october november december".split()
)
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_MONTH = "|".join(f"{m}|{m[:3]}" for m in MONTHS) + "|sept"
_NUMBERS = "one two three four five six seven eight nine ten eleven twelve".split()
_COUNT = rf"(?P<n>\d{{1,3}}|an?|a few|a couple of|several|{'|'.join(_NUMBERS)})"
_UNIT = r"(?P<unit>day|week|month|year)s?"

_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<iso>\d{4}-\d{2}-\d{2})\b",
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? (?P<m>{_MONTH})\b\.?,?(?: (?P<y>\d{{4}}))?",
        rf"\b(?P<m>{_MONTH})\b\.? (?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!\d)(?:,? (?P<y>\d{{4}}))?",
        rf"\b(?P<m>{_MONTH})\b\.?,?(?: of)? (?P<y>\d{{4}})\b",
        rf"\b(?P<which>last|this|next|in|since|during|early|late|by) (?P<m>{_MONTH})\b",
        rf"\b{_COUNT} {_UNIT} ago\b",
        rf"\bin {_COUNT} {_UNIT}\b",
        rf"\b(?P<which>last|this|next|past) {_UNIT}\b",
        rf"\b(?P<which>last|this|next|on) (?P<day>{'|'.join(DAYS)})\b",
        r"\b(?P<word>the day before yesterday|yesterday|today|tonight|tomorrow|last night"
        r"|this morning)\b",
        r"\b(?:in|since|during|of|year) (?P<y>(?:19|20)\d{2})\b",
    )
]


# What is spoken of lies ahead. Capitals count: "Will" is a person.
_AHEAD = re.compile(
    r"\b(?:will|won['’]t|shall|gonna|about to|going to|planning|plans?|want|wants|hope|hopes|hoping"
    r"|until|till|deadline|due|upcoming|appointment|finish by|ready by|takes place|take place)\b"
    r"|['’]ll\b|(?:\b(?:am|is|are)|['’](?:m|s|re))\s+(?:\w+\s+){0,2}?"
    r"(?:meet|leav|go|fly|mov|start|com|visit|travell?|gett|hav|see|join|tak|arriv|return|open|clos"
    r"|play|host|marry|marri|retir|begin|finish|driv)(?:n?ing)\b"
)
_BEHIND = re.compile(
    r"\b(?:since|last|ago|was|were|did|didn['’]t|had|went|met|came|left|started|moved|saw|got|been"
    r"|bought|sold|born|visited|finished|began|joined|happened|took)\b",
    re.IGNORECASE,
)
_PART = re.compile(r"[.!?;\n]|,?\s(?:and|but|because|so|that)\s")


@dataclass(frozen=True, slots=True)
class Span:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        """A name for the graph: a day, a month, a year, or a week's first day."""
        a, b = self.first, self.last
        if a == b:
            return a.isoformat()
        if (a.month, a.day, b.month, b.day) == (1, 1, 12, 31) and a.year == b.year:
            return f"{a.year}"
        if a.day == 1 and b == _month(a.year, a.month).last:
            return f"{a:%Y-%m}"
        return f"{a.isoformat()} to {b.isoformat()}"


def day(time: float) -> date:
    """The day of a moment."""
    return datetime.fromtimestamp(time).date()


def find(text: str, said: float) -> list[tuple[int, int, Span]]:
    """All days a text speaks of, said at that moment: (start, end, days) without overlaps."""
    try:
        today = day(said)
    except (OverflowError, OSError, ValueError):
        return []
    found: list[tuple[int, int, Span]] = []
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if any(start < match.end() and match.start() < end for start, end, _ in found):
                continue
            try:
                span = _read(
                    match.groupdict(), match.group().lower(), today, _is_ahead(text, *match.span())
                )
            except (ValueError, OverflowError):
                continue  # 31 February
            if span is not None:
                found.append((match.start(), match.end(), span))
    return sorted(found, key=lambda item: item[0])


def _is_ahead(text: str, start: int, end: int) -> bool:
    """Whether the part of a sentence around a day speaks of what is to come."""
    left = max((m.end() for m in _PART.finditer(text, 0, start)), default=0)
    right = _PART.search(text, end)
    part = text[left : right.start() if right else len(text)]
    if _BEHIND.search(part):
        return False
    if _AHEAD.search(part):
        return True
    # "We'll fly to Rome and stay until May": what the sentence began with goes on without a subject.
    whole = max((m.end() for m in re.finditer(r"[.!?;\n]", text[:start])), default=0)
    return bool(_AHEAD.search(text, whole, left)) and not _BEHIND.search(text, whole, start)


def yearless(text: str) -> str:
    """The day of a birthday, which comes every year: "4 May"; "" where a year or no day is told."""
    for pattern in _PATTERNS[1:3]:
        found = pattern.search(text)
        if found:
            if found["y"]:
                return ""
            return f"{int(found['d'])} {MONTHS[_month_number(found['m']) - 1].capitalize()}"
    return ""


def resolve(text: str, said: float) -> str:
    """A date mention as a name that does not depend on when it was said; "" if it is none."""
    found = find(text, said)
    return str(found[0][2]) if len(found) == 1 else ""


def tags_of_day(time: float) -> list[str]:
    """Terms for the day of a message: zy2024, zm2024x05, zd2024x05x07, and zmonth05."""
    try:
        d = day(time)
    except (OverflowError, OSError, ValueError):
        return []
    return [*_tags(d)]


def tags_in(question: str, now: float) -> list[str]:
    """Terms for the days that a question asks about."""
    tags: list[str] = []
    for _, _, span in find(question, now):
        a, b = span.first, span.last
        if a == b:
            tags.extend(_tags(a)[:3])
        elif (b - a).days <= 7:
            tags.extend(_tags(a + timedelta(n))[2] for n in range((b - a).days + 1))
        elif (b - a).days <= 31:
            tags.append(_tags(a)[1])
        else:
            tags.append(_tags(a)[0])
    bare = re.search(rf"\bin (?P<m>{_MONTH})\b(?! \d)", question, re.IGNORECASE)
    if bare:
        tags.append(f"zmonth{_month_number(bare['m']):02}")
    return list(dict.fromkeys(tags))


def _tags(d: date) -> tuple[str, str, str, str]:
    return (f"zy{d.year}", f"zm{d:%Yx%m}", f"zd{d:%Yx%mx%d}", f"zmonth{d.month:02}")


def _read(
    groups: dict[str, str | None], text: str, today: date, ahead: bool = False
) -> Span | None:
    if groups.get("iso"):
        return _one(date.fromisoformat(str(groups["iso"])))
    if groups.get("word"):
        word = str(groups["word"]).lower()
        back = {"the day before yesterday": -2, "yesterday": -1, "last night": -1, "tomorrow": 1}
        return _one(today + timedelta(back.get(word, 0)))
    if groups.get("m"):
        return _of_month(groups, today, ahead)
    if groups.get("unit"):
        return _of_unit(groups, text, today)
    if groups.get("day"):
        weekday = DAYS.index(str(groups["day"]).lower())
        which = str(groups["which"]).lower()
        if which == "next" or (ahead and which != "last"):
            return _one(today + timedelta((weekday - today.weekday() - 1) % 7 + 1))
        return _one(today - timedelta((today.weekday() - weekday - 1) % 7 + 1))
    if groups.get("y"):
        year = int(str(groups["y"]))
        return Span(date(year, 1, 1), date(year, 12, 31))
    return None


def _of_month(groups: dict[str, str | None], today: date, ahead: bool) -> Span:
    month = _month_number(str(groups["m"]))
    given = groups.get("y")
    if given:
        year = int(given)
    else:
        year = today.year
        which = (groups.get("which") or "").lower()
        if which == "next":
            year += month <= today.month
        elif ahead and which != "last":
            number = int(str(groups["d"])) if groups.get("d") else 31
            year += (month, number) < (today.month, today.day)
        elif month > today.month and which != "this":
            year -= 1  # people speak of what was more than of what will be
    if groups.get("d"):
        return _one(date(year, month, int(str(groups["d"]))))
    return _month(year, month)


def _of_unit(groups: dict[str, str | None], text: str, today: date) -> Span | None:
    unit = str(groups["unit"]).lower()
    which = groups.get("which")
    if which is not None:
        count = {"last": -1, "past": -1, "this": 0, "next": 1}[which.lower()]
    else:
        number = _count(str(groups["n"]).lower())
        if number is None:
            return None
        count = -number if text.endswith("ago") else number
    if unit == "day":
        return _one(today + timedelta(count))
    if unit == "week":
        monday = today - timedelta(today.weekday()) + timedelta(7 * count)
        return Span(monday, monday + timedelta(6))
    if unit == "month":
        months = today.year * 12 + today.month - 1 + count
        return _month(months // 12, months % 12 + 1)
    return Span(date(today.year + count, 1, 1), date(today.year + count, 12, 31))


def _count(word: str) -> int | None:
    if word.isdigit():
        return int(word)
    if word in ("a", "an"):
        return 1
    if word == "a couple of":
        return 2
    return _NUMBERS.index(word) + 1 if word in _NUMBERS else None


def _month_number(word: str) -> int:
    return next(i for i, name in enumerate(MONTHS, 1) if name[:3] == word.lower()[:3])


def _month(year: int, month: int) -> Span:
    after = date(year + month // 12, month % 12 + 1, 1)
    return Span(date(year, month, 1), after - timedelta(1))


def _one(d: date) -> Span:
    return Span(d, d)
