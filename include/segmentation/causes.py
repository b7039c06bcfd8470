"""
causes: the text of an error, fit for those who may not see rows: alerts go by mail, and `ops.runs` is on dashboards.

The pipeline's own errors say themselves what may be told (`errors.FinalError.summary`), or give keys after "for
example" only, which are cut. Of errors of other libraries the first line is told, with what stands in quotation marks
blotted out, as that may be a value. The whole text is in the task's log.
"""

import re

from segmentation.errors import FinalError

BLOT = "…"
MOST_CHARACTERS = 2_000
KILLED = "the task's process ended without a word: killed, or out of memory, or its machine is gone"

_EXAMPLES = re.compile(r",? (?:for example|such as) .*")
_KEY_VALUES = re.compile(r"=\(.*\)")  # of Postgres: Key (customer_id)=(...) already exists
_UNREADABLE = re.compile(r"""(?<=, and )(["']).*\1(?= is not)""")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_LOGIN = re.compile(r"(?<=://)[^/\s@]*@")
_QUOTED = re.compile(r"""(["'])(.*?)\1""")
_NAME = re.compile(r"[A-Z]+(?:_[A-Z]+)+|\d+(?:\.\d+){3}")  # of a setting, or an IP address: no value of a row


def cause_of(error: BaseException | str | None) -> str:
    """An error in words that name no row, no person and no login; None stands for a process that was killed."""
    if error is None:
        return KILLED
    if isinstance(error, FinalError):
        text = error.summary or _EXAMPLES.sub("", str(error))
    else:
        lines = str(error).strip().splitlines() or [""]
        text = _EXAMPLES.sub("", _QUOTED.sub(_blotted, lines[0]))
        text = f"{type(error).__name__}: {text}" if isinstance(error, BaseException) else text
    for pattern, put in ((_UNREADABLE, BLOT), (_KEY_VALUES, f"=({BLOT})"), (_LOGIN, f"{BLOT}@"), (_MAIL, BLOT)):
        text = pattern.sub(put, text)
    text = text.strip().removesuffix(":")
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + BLOT


def _blotted(found: re.Match) -> str:
    return found[0] if _NAME.fullmatch(found[2]) else f"{found[1]}{BLOT}{found[1]}"
