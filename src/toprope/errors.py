"""The errors that a user can cause, each saying what is wrong, where, and how to mend it.

The command line prints a UserError as one line and exits with status 2. Anything else that is
raised is a bug of ours and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake that the user can mend: `str(error)` is one line that says what, where and how."""


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> UserError:
    """The error for a name that doesn't exist: it gives the nearest good name, then all of them.

    Args:
        kind: what was looked up, as a reader would call it ("model", "dataset", "key").
        name: what the user wrote.
        known: the names that exist.
        where: the file or option that holds the bad name, if there is one.
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    place = f" in {where}" if where else ""
    return UserError(f"unknown {kind} '{name}'{place}: {hint}known: {', '.join(known)}")
