"""The API keys that clients must show: the values of a mounted Secret, read again when it changes."""

import hmac
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from moe_gateway.errors import ApiError, unauthorized

logger = logging.getLogger(__name__)

_REREAD_SECONDS = 5.0
_SCHEME = "bearer "


class ApiKeys:
    """Keys from a folder of files or from one file, one key a line. Without a place for them everybody may ask; with
    one that holds no key, nobody.
    """

    def __init__(self, place: Path | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._now = now
        self._keys = _read(place) if place is not None else ()
        self._read_at = now()

    def refusal(self, authorization: str | None) -> ApiError | None:
        """Why whoever sends this header is turned away; None where they may ask."""
        if self._place is None:
            return None
        self._reread(self._place)
        if authorization is None or not authorization.lower().startswith(_SCHEME):
            return unauthorized(None)
        sent = authorization[len(_SCHEME) :].strip()
        digest = os.urandom(32)
        found = [hmac.compare_digest(_mixed(digest, sent), _mixed(digest, key)) for key in self._keys]
        return None if any(found) else unauthorized(sent)

    def _reread(self, place: Path) -> None:
        """A Secret that cannot be read at this moment keeps its keys: the kubelet swaps the files."""
        if self._now() - self._read_at < _REREAD_SECONDS:
            return
        self._read_at = self._now()
        try:
            self._keys = _read(place)
        except OSError as error:
            logger.warning("the API keys at %s cannot be read (%s); those known before stand", place, error)


def _read(place: Path) -> tuple[str, ...]:
    # The kubelet keeps its own bookkeeping beside the keys, in names that begin with two dots.
    files = [file for file in sorted(place.iterdir()) if file.name[:2] != ".."] if place.is_dir() else [place]
    return tuple(key for file in files for line in file.read_text().splitlines() if (key := line.strip()))


def _mixed(secret: bytes, text: str) -> bytes:
    """Equal for equal texts, and of one length whatever theirs."""
    return hmac.digest(secret, text.encode(errors="replace"), "sha256")
