"""What can go wrong."""


class TrailsealError(Exception):
    """Everything that Trailseal raises, except for wrong arguments."""


class OpenError(TrailsealError):
    """The trail could not be opened. Nothing that was accepted is lost by it."""


class LockedError(OpenError):
    """Another process writes to the trail."""


class SettingsError(TrailsealError, ValueError):
    """A setting is unknown or has a bad value; the text names it and its place."""


class ReadError(TrailsealError):
    """The trail could not be read, or what was asked for is not there."""


class CloseError(TrailsealError):
    """The trail was not closed in time. What it accepted stays in its folder, and is recovered at the next opening."""


class RecordError(TrailsealError):
    """The event did not get where it should."""


class RefusedError(RecordError):
    """The event was given no index and will never be recorded. It is counted."""


class ClosedError(RefusedError):
    """The trail is closed."""


class ForkedError(RefusedError):
    """This process is a forked child of the one that opened the trail, and ``workers`` is not ``"slots"``."""


class FullError(RefusedError):
    """The handoff buffer stayed full until the deadline."""


class _KeptError(RecordError):
    def __init__(self, text: str, index: int, id: str) -> None:
        super().__init__(text)
        self.index = index
        self.id = id

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (str(self), self.index, self.id)


class UnconfirmedError(_KeptError):
    """The event has an index and is kept, but did not reach its level in time. A retry with the same id is safe."""


class ConflictError(_KeptError):
    """Another event of this tenant has the id. Nothing was added."""
