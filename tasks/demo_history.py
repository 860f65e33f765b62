"""The demo's repository: a room-booking module with a history, commit by commit.

Commit 4 fixes a bug in `rooms.taken` whose sibling still sits in `slots.contains`; the last
commit brings the test that fails because of it. So history has something to teach.
"""

from collections.abc import Mapping
from dataclasses import dataclass

ISSUE = """A booking is not found at its first minute

`contains(Slot(9, 10), 9)` says False, so someone who looks up the booking at nine
sharp is told that the slot is free. The end of a slot does not belong to it; its
start does.
"""
FAILING_TEST = "test_slots.py::test_a_slot_contains_its_first_minute"


@dataclass(frozen=True, slots=True)
class DemoCommit:
    """One commit: its message, its date, and the files it writes."""

    message: str
    date: str
    files: Mapping[str, str]


_README = """# roombook

Who has which room, and when. Slots are half-open: the start belongs to a slot, the
end does not. Run the tests with `pytest`.
"""

_SLOTS_1 = '''"""Half-open slots of time, in hours of a day."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Slot:
    start: float
    end: float


def length(slot):
    """Hours that a slot lasts."""
    return slot.end - slot.start


def contains(slot, moment):
    """Whether a moment lies in a slot."""
    return slot.start < moment < slot.end
'''

_OVERLAPS = '''

def overlaps(one, other):
    """Whether two slots share any time; slots that only touch do not."""
    return one.start < other.end and other.start < one.end


def merge(slots):
    """Slots that overlap or touch become one; the rest stay as they are."""
    merged = []
    for slot in sorted(slots):
        if merged and slot.start <= merged[-1].end:
            merged[-1] = Slot(merged[-1].start, max(merged[-1].end, slot.end))
        else:
            merged.append(slot)
    return merged
'''

_TESTS_1 = """from slots import Slot, contains, length


def test_length_is_end_minus_start():
    assert length(Slot(9, 10.5)) == 1.5


def test_a_slot_contains_the_time_between():
    assert contains(Slot(9, 10), 9.5)
    assert not contains(Slot(9, 10), 11)


def test_a_slot_does_not_contain_its_end():
    assert not contains(Slot(9, 10), 10)
"""

_TESTS_2 = (
    _TESTS_1.replace("contains, length", "contains, length, merge, overlaps")
    + """

def test_touching_slots_do_not_overlap():
    assert not overlaps(Slot(9, 10), Slot(10, 11))


def test_shared_time_is_an_overlap():
    assert overlaps(Slot(9, 11), Slot(10, 12))


def test_merge_joins_what_touches():
    assert merge([Slot(10, 11), Slot(9, 10), Slot(13, 14)]) == [Slot(9, 11), Slot(13, 14)]
"""
)

_TESTS_3 = (
    _TESTS_2
    + """

def test_a_slot_contains_its_first_minute():
    assert contains(Slot(9, 10), 9)
"""
)

_ROOMS_1 = '''"""Rooms and their bookings."""

from slots import overlaps


class Room:
    def __init__(self, name):
        self.name = name
        self.bookings = []

    def book(self, slot):
        """Book a slot; a slot that overlaps a booking is refused."""
        if any(overlaps(slot, taken) for taken in self.bookings):
            raise ValueError(f"{self.name} is taken")
        self.bookings.append(slot)

    def taken(self, moment):
        """Whether somebody has the room at a moment."""
        for slot in self.bookings:
            if slot.start < moment < slot.end:
                return True
        return False
'''

_ROOMS_2 = _ROOMS_1.replace("slot.start < moment < slot.end", "slot.start <= moment < slot.end")

_ROOM_TESTS_1 = """import pytest
from rooms import Room
from slots import Slot


def test_an_overlapping_booking_is_refused():
    room = Room("blue")
    room.book(Slot(9, 11))
    with pytest.raises(ValueError, match="blue is taken"):
        room.book(Slot(10, 12))


def test_a_room_is_taken_during_a_booking():
    room = Room("blue")
    room.book(Slot(9, 11))
    assert room.taken(10)
    assert not room.taken(11)
"""

_ROOM_TESTS_2 = (
    _ROOM_TESTS_1
    + """

def test_a_room_is_taken_from_the_first_minute():
    room = Room("blue")
    room.book(Slot(9, 11))
    assert room.taken(9)
"""
)

_FREE = '''

def free(rooms, moment):
    """Names of the rooms that nobody has at a moment, sorted."""
    return sorted(room.name for room in rooms if not room.taken(moment))
'''

_FREE_TEST = """

def test_free_rooms_are_those_not_taken():
    blue, green = Room("blue"), Room("green")
    blue.book(Slot(9, 11))
    assert free([green, blue], 9) == ["green"]
"""

HISTORY = (
    DemoCommit(
        "Slots of time: how long, and whether a moment lies inside",
        "2024-03-04T09:00:00+00:00",
        {"README.md": _README, "slots.py": _SLOTS_1, "test_slots.py": _TESTS_1},
    ),
    DemoCommit(
        "Overlap and merge of slots",
        "2024-03-05T10:30:00+00:00",
        {"slots.py": _SLOTS_1 + _OVERLAPS, "test_slots.py": _TESTS_2},
    ),
    DemoCommit(
        "Rooms refuse overlapping bookings",
        "2024-03-07T14:00:00+00:00",
        {"rooms.py": _ROOMS_1, "test_rooms.py": _ROOM_TESTS_1},
    ),
    DemoCommit(
        "Fix: a room is taken from the first minute of a booking\n\n"
        "At nine sharp a booking from nine to eleven was not found, because the start of\n"
        "the slot was compared with < and not with <=. The end stays outside.",
        "2024-03-11T08:45:00+00:00",
        {"rooms.py": _ROOMS_2, "test_rooms.py": _ROOM_TESTS_2},
    ),
    DemoCommit(
        "List the free rooms at a moment",
        "2024-03-12T16:20:00+00:00",
        {
            "rooms.py": _ROOMS_2 + _FREE,
            "test_rooms.py": _ROOM_TESTS_2.replace("import Room\n", "import Room, free\n")
            + _FREE_TEST,
        },
    ),
    DemoCommit(
        "Test that a slot contains its first minute (it does not yet)",
        "2024-03-18T11:10:00+00:00",
        {"test_slots.py": _TESTS_3},
    ),
)
