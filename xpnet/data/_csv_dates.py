"""Dates and times in the cells of a table, as numbers.

Read are the forms that have one meaning: ISO 8601 (2021-03-04, 2021/3/4, 2021-03, each perhaps with a time
of day), English names of months (4 Mar 2021, March 4, 2021), and times of day (17:30, 5:30 PM). In
03/04/2021 it is not known which is the month: such a column is refused.
"""

import re
from datetime import UTC, datetime, timedelta

from xpnet.errors import ArgumentError

PARTS = ("seconds", "year", "month", "weekday", "hour")
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2})(\.(?P<fraction>\d+))?)?( ?(?P<half>[AaPp])\.?[Mm]\.?)?"
_ZONE = r" ?(?P<zone>Z|UTC|[+-]\d{2}(:?\d{2})?)"
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_NAME = "|".join([*_MONTHS, *(name[:3] for name in _MONTHS), "sept"])
_MONTH = rf"(?P<name>(?i:{_NAME}))\.?"
_DAYS = (
    r"(?!\d{4}\.\d+$)(?P<year>\d{4})(?P<sign>[-/.])(?P<month>\d{1,2})((?P=sign)(?P<day>\d{1,2}))?",
    rf"(?P<day>\d{{1,2}})[ -]{_MONTH}[ -](?P<year>\d{{4}})",
    rf"{_MONTH} (?P<day>\d{{1,2}}),? (?P<year>\d{{4}})",
)
_FORMS = [re.compile(rf"{day}([T ]{_TIME}({_ZONE})?)?", re.ASCII) for day in _DAYS]
_FORMS.append(re.compile(_TIME, re.ASCII))
_AMBIGUOUS = re.compile(r"\d{1,2}([-/.])\d{1,2}\1(\d{4}|\d{2})([T ].*)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_like_a_date(cell: str) -> bool:
    """Whether a cell has the form of a date or a time, also of one with two meanings.

    >>> is_like_a_date("2021-03-04"), is_like_a_date("03/04/2021"), is_like_a_date("3.5")
    (True, True, False)
    """
    return is_ambiguous(cell) or any(form.fullmatch(cell) for form in _FORMS)


def is_ambiguous(cell: str) -> bool:
    """Whether a cell is a date with day and month in an order that it does not tell."""
    return _AMBIGUOUS.fullmatch(cell) is not None


def parsed(cell: str) -> datetime | None:
    """The date and time in a cell, in UTC; None if there is none, or one with two meanings.

    A date without a time is its midnight, and a time without a date is on 1 January 1970. A time
    without a time zone is taken as UTC.

    >>> parsed("4 Mar 2021 17:30").isoformat()
    '2021-03-04T17:30:00+00:00'
    """
    for form in _FORMS:
        match = form.fullmatch(cell)
        if match is not None:
            try:
                return _value(match.groupdict())
            except (ValueError, OverflowError):  # such as 30 February
                return None
    return None


def _value(found: dict[str, str | None]) -> datetime:
    """The date and time whose parts were found, as text.

    Raises
    ------
    ValueError
        There is no such date or time.
    """
    month = int(found.get("month") or 1)
    name = found.get("name")
    if name:
        month = 1 + [known[:3] for known in _MONTHS].index(name[:3].lower())
    hour = int(found["hour"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ArgumentError(f"Expected an hour from 1 to 12, got {hour}.")
        hour = hour % 12 + 12 * (found["half"] in "Pp")
    value = datetime(
        year=int(found.get("year") or 1970),
        month=month,
        day=int(found.get("day") or 1),
        hour=hour,
        minute=int(found["minute"] or 0),
        second=int(found["second"] or 0),
        microsecond=int((found["fraction"] or "0").ljust(6, "0")[:6]),
        tzinfo=UTC,
    )
    zone = found.get("zone")
    if zone and zone[0] in "+-":
        minutes = 60 * int(zone[1:3]) + int(zone[3:].lstrip(":") or 0)
        value -= timedelta(minutes=int(f"{zone[0]}{minutes}"))
    return value


def parts_of(value: datetime) -> tuple[float, ...]:
    """The numbers that a date and time becomes, in the order of `PARTS`.

    Returns
    -------
    tuple of float
        Seconds since 1970; the year; the month, from 1; the day of the week, from 0 for Monday; and the
        hour with its fraction.
    """
    seconds = (value - _EPOCH).total_seconds()
    hour = value.hour + value.minute / 60 + value.second / 3600
    return seconds, float(value.year), float(value.month), float(value.weekday()), hour
