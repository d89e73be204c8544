"""The ladder once more, written from the rules and not from the code, for the property tests to compare with.

It is an object that changes, keeps sets of faults by what is owed for them, and has a table of its own. Modes, faults and events are the
controller's words; nothing else of it is used.
"""

from dataclasses import replace

from controller.events import (
    Checked,
    Event,
    Fault,
    FaultBegan,
    FaultEnded,
    Flash,
    LimitSet,
    LockOutCleared,
    Mode,
    Order,
    OrderGiven,
    OrderWithdrawn,
    Place,
    ReEnabled,
    Started,
    Stopped,
    Tick,
)

LEAVES_OUR_PLAN = {
    Fault.POLICY_RAISED,
    Fault.POLICY_NOT_FINITE,
    Fault.POLICY_GARBAGE,
    Fault.POLICY_LATE,
    Fault.POLICY_HUNG,
    Fault.POLICY_DIED,
    Fault.POLICY_ILLEGAL_STAGE,
    Fault.POLICY_OUT_OF_DISTRIBUTION,
    Fault.BUNDLE_MISSING,
    Fault.BUNDLE_REFUSED,
    Fault.DETECTORS_FAILED,
}
LEAVES_NOTHING = {Fault.IDENTITY_CHANGED, Fault.ANOTHER_DAEMON}
HARMLESS = {
    Fault.TICKER_LAG,
    Fault.CLOCK_OFF,
    Fault.JOURNAL_FULL,
    Fault.SETTINGS_REFUSED,
    Fault.DETECTOR_FAILED,
    Fault.DETECTOR_MISPLACED,
    Fault.BUTTON_FAILED,
    Fault.DISOBEYED,
}
NEEDS_A_PERSON = LEAVES_NOTHING | {
    Fault.GATE_VIOLATED,
    Fault.STATE_LOST,
    Fault.CONFLICT_FLASH,
    Fault.SEQUENCE_CHANGED,
    Fault.REBOOTED,
    Fault.DATABASE_CHANGED,
    Fault.TIMINGS_DIFFER,
    Fault.TIMINGS_UNAPPROVED,
    Fault.BACKUP_TIME_ZERO,
    Fault.BACKUP_TIME_LONG,
    Fault.LAMP_POWER_LOST,
    Fault.DISOBEYED_AGAIN,
    Fault.STREET_DISAGREES,
    Fault.WALK_NOT_SERVED,
    Fault.ANOTHER_WRITER,
}
PASSES = {
    Fault.FLASH,
    Fault.STOP_TIME,
    Fault.COORDINATED,
    Fault.PREEMPT,
    Fault.POLICE,
    Fault.LOCAL_MANUAL,
    Fault.REMOTE_MANUAL,
}
HEALS = LEAVES_OUR_PLAN | {
    Fault.FIXED_TIME_FAILED,
    Fault.FIXED_TIME_OVER,
    Fault.DAEMON_DIED,
    Fault.DAEMON_STALLED,
    Fault.LINK_LOST,
    Fault.READINGS_STALE,
    Fault.READINGS_FROZEN,
    Fault.REPLY_GARBLED,
    Fault.REQUEST_REFUSED,
    Fault.REQUEST_NOT_ECHOED,
    Fault.REQUEST_WITHOUT_EFFECT,
    Fault.REQUEST_LEFT_BEHIND,
    Fault.BACKUP_EXPIRED,
}
LASTS_NO_TIME = {
    Fault.POLICY_RAISED,
    Fault.POLICY_NOT_FINITE,
    Fault.POLICY_GARBAGE,
    Fault.POLICY_LATE,
    Fault.POLICY_ILLEGAL_STAGE,
    Fault.FIXED_TIME_FAILED,
    Fault.FIXED_TIME_OVER,
    Fault.GATE_VIOLATED,
    Fault.DAEMON_DIED,
    Fault.STATE_LOST,
    Fault.TICKER_LAG,
    Fault.REPLY_GARBLED,
    Fault.REQUEST_REFUSED,
    Fault.REQUEST_NOT_ECHOED,
    Fault.REQUEST_WITHOUT_EFFECT,
    Fault.REQUEST_LEFT_BEHIND,
    Fault.REBOOTED,
    Fault.DISOBEYED,
    Fault.DISOBEYED_AGAIN,
}

STRENGTH = [Mode.OFF, Mode.MONITOR, Mode.SHADOW, Mode.RELEASED, Mode.FIXED_TIME, Mode.ADAPTIVE]


def leaves(fault: Fault) -> Mode:
    """Say how much a fault leaves us."""
    if fault in HARMLESS:
        return Mode.ADAPTIVE
    if fault in LEAVES_OUR_PLAN:
        return Mode.FIXED_TIME
    return Mode.MONITOR if fault in LEAVES_NOTHING else Mode.RELEASED


def weaker(one: Mode, other: Mode) -> Mode:
    """Pick the mode in which less is in our hands."""
    return STRENGTH[min(STRENGTH.index(one), STRENGTH.index(other))]


class LadderModel:
    """The rules, with memory."""

    def __init__(self, now: int, *, clean: int, rejoin: int, bound: int, window: int, longest: int, flash: bool, ceiling: Mode) -> None:
        self.clean, self.rejoin, self.bound, self.window, self.longest = clean, rejoin, bound, window, longest
        self.flash, self.ceiling = flash, ceiling
        self.now = now
        self.running = False
        self.known = False
        self.own = Mode.OFF
        self.person_allows = Mode.ADAPTIVE
        self.seen: set[Fault] = set()
        self.held: set[Fault] = set()
        self.scars: set[Fault] = set()
        self.calm_from = now
        self.under_way = False
        self.starts_of_returns: list[int] = []
        self.missed: int | None = None
        self.order: Order | None = None
        self.hours = dict.fromkeys(Mode, 0)
        self.shown_from = now

    @property
    def shown(self) -> Mode:
        """The mode in force."""
        return Mode.FORCED if self.order and self.known else self.own

    def happens(self, event: Event, now: int) -> None:
        """Live through one event."""
        if isinstance(event, Started):
            self.hours[Mode.OFF] += max(0, now - self.now)
            self.now = now
        else:
            now = max(now, self.now)
            self.hours[self.shown] += now - self.now
            self.now = now
        before = self.shown
        self._live(event)
        self._obey_the_cap()
        if self.shown is not before or isinstance(event, Started):
            self.shown_from = self.now

    def allowed(self) -> Mode:
        """Find the cap."""
        return weaker(self.person_allows, self.ceiling)

    def lately(self) -> list[int]:
        """List the returns of the last hour."""
        return [at for at in self.starts_of_returns if at > self.now - 36_000]

    def _live(self, event: Event) -> None:  # noqa: C901, PLR0912  # one branch an event is what makes it easy to compare with the rules
        if isinstance(event, Tick):
            self._time_passes()
        elif isinstance(event, FaultBegan):
            self._suffer(event.fault)
        elif isinstance(event, FaultEnded):
            if event.fault is not Fault.LOCAL_LOCK_OUT:
                self._recover_from(event.fault)
        elif isinstance(event, LockOutCleared):
            if event.place is Place.AT_CABINET:
                self._recover_from(Fault.LOCAL_LOCK_OUT)
        elif isinstance(event, ReEnabled):
            if not self.held & self.seen:
                if self.held:
                    self.calm_from = self.now
                self.held.clear()
                self.starts_of_returns.clear()
        elif isinstance(event, LimitSet):
            if weaker(event.limit, self.ceiling) is event.limit:
                self.person_allows = event.limit
        elif isinstance(event, OrderGiven):
            if self._would_obey(event.order):
                self.order = event.order
        elif isinstance(event, OrderWithdrawn):
            self.order = None
        elif isinstance(event, Started):
            self._start()
        elif isinstance(event, Checked):
            if self.running and not self.known and self.own is not Mode.OFF:
                self.known = True
                self.calm_from = self.now
                place = Mode.MONITOR if not self.scars else Mode.ADAPTIVE
                for fault in self.scars:
                    place = weaker(place, leaves(fault))
                self.own = place
        elif isinstance(event, Stopped):
            self.running = self.known = False
            self.own = Mode.OFF

    def _suffer(self, fault: Fault) -> None:
        if fault is Fault.DISOBEYED:
            again = self.missed is not None and self.now <= self.missed + self.window
            self.missed = self.now
            if again:
                fault = Fault.DISOBEYED_AGAIN
        if fault not in LASTS_NO_TIME:
            self.seen.add(fault)
        if fault in HARMLESS:
            return
        self.scars.add(fault)
        if fault in NEEDS_A_PERSON:
            self.held.add(fault)
        self.calm_from = self.now
        self.under_way = False
        if self.own is Mode.SHADOW:
            self.own = Mode.MONITOR
        self.own = weaker(self.own, leaves(fault))
        if self.order and self._beats(fault, self.order):
            self.order = None

    def _recover_from(self, fault: Fault) -> None:
        if fault in self.seen:
            self.seen.remove(fault)
            if fault not in HARMLESS:
                self.calm_from = self.now

    @staticmethod
    def _beats(fault: Fault, order: Order) -> bool:
        if order.what == Flash() and fault is Fault.FLASH:
            return False
        return fault not in HARMLESS and fault not in LEAVES_OUR_PLAN

    def _would_obey(self, order: Order) -> bool:
        if order.what == Flash():
            fits = self.flash and order.expires is None
        else:
            fits = order.expires is not None and self.now < order.expires <= self.now + self.longest
        free = not any(self._beats(fault, order) for fault in (self.seen | self.held))
        return fits and free and self.known and self.allowed() is Mode.ADAPTIVE

    def _start(self) -> None:
        if self.running:
            self.scars.add(Fault.DAEMON_DIED)
        self.running, self.known, self.own = True, False, Mode.MONITOR
        self.seen &= {Fault.LOCAL_LOCK_OUT}
        self.calm_from = self.now
        self.under_way = False
        self.starts_of_returns = [min(at, self.now) for at in self.starts_of_returns]
        if self.missed is not None:
            self.missed = min(self.missed, self.now)
        if self.order and self.order.expires is not None:
            end = min(self.order.expires, self.now + self.longest)
            self.order = None if end <= self.now else replace(self.order, expires=end)

    def _time_passes(self) -> None:
        if self.order and self.order.expires is not None and self.now >= self.order.expires:
            self.order = None
            return
        if self.shown is Mode.FIXED_TIME and self.now >= self.shown_from + self.bound:
            self._suffer(Fault.FIXED_TIME_OVER)
            return
        if not self.running:
            return
        if self.own is Mode.OFF:
            if self.allowed() is not Mode.OFF:
                self.own, self.calm_from = Mode.MONITOR, self.now
            return
        if not self.known or (self.seen - HARMLESS) or self.held:
            return
        owed = self.clean if self.scars & HEALS else self.rejoin if self.scars else 0
        if self.now < self.calm_from + owed:
            return
        if not self._at_the_top():
            if self.scars & HEALS and not self.under_way:
                if len(self.lately()) >= 3:
                    return
                self.starts_of_returns = self.lately() + [self.now]
                self.under_way = True
            up = {Mode.MONITOR: Mode.SHADOW, Mode.RELEASED: Mode.FIXED_TIME}
            self.own, self.calm_from = up.get(self.own, Mode.ADAPTIVE), self.now
        if self._at_the_top():
            self.scars.clear()
            self.under_way = False

    def _at_the_top(self) -> bool:
        return self.own is self.allowed()

    def _obey_the_cap(self) -> None:
        cap = self.allowed()
        if cap is Mode.ADAPTIVE:
            return
        self.order = None
        if weaker(self.own, cap) is not self.own:
            self.own = Mode.MONITOR if cap is Mode.SHADOW and self.scars else cap
        if self.own is Mode.OFF:
            self.known = False
