"""The folder of kept kernels: one file per key, written whole or not at all.

A file is a line of magic, the SHA-256 of the rest, the length of a JSON header, the header, the body. It is
written under a temporary name and renamed, so that processes at the same time see old or new, never half. The
machine code in it runs with the user's rights: a folder that others own or may write to is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VARIABLE = "FWDDIFF_CACHE_DIR"
MOST_BYTES = 512 * 2**20

_MAGIC = b"fwddiff kernel 1\n"
_SUFFIX = ".kernel"
_ABANDONED = 3600.0  # seconds after which an unfinished file belongs to no living process
_WRITES_PER_CHECK = 64
_writes = 0


def folder() -> Path | None:
    """The folder that is asked for; `None` where there is none or it is switched off."""
    given = os.environ.get(VARIABLE, "")
    if given.lower() == "off":
        return None
    try:
        return Path(given).expanduser().absolute() if given else _user_folder()
    except (RuntimeError, OSError):
        return None


def _user_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fwddiff" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fwddiff"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fwddiff"


def read(key: str) -> tuple[dict[str, Any], bytes] | None:
    """Header and body of the file of this key; `None` if it is missing, damaged or somebody else's."""
    place = folder()
    if place is None or not _is_own(place):
        return None
    path = place / f"{key}{_SUFFIX}"
    try:
        with path.open("rb") as file:
            if not _is_owned(os.fstat(file.fileno())):
                return None
            content = file.read()
        found = _unpacked(content, key)
    except (OSError, ValueError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # so that what is used stays when the folder is full
    return found


def write(key: str, header: dict[str, Any], body: bytes = b"") -> bool:
    """Keep header and body under this key; whether that was possible."""
    place = folder()
    if place is None:
        return False
    temporary = None
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(place):
            return False
        descriptor, temporary = tempfile.mkstemp(".unfinished", dir=place)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_packed(key, header, body))
        os.replace(temporary, place / f"{key}{_SUFFIX}")
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        return False
    _bound(place)
    return True


def _packed(key: str, header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header | {"key": key}).encode()
    payload = len(text).to_bytes(4, "little") + text + body
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def _unpacked(content: bytes, key: str) -> tuple[dict[str, Any], bytes] | None:
    start = len(_MAGIC) + 32
    payload = content[start:]
    if content[:start] != _MAGIC + hashlib.sha256(payload).digest():
        return None
    size = int.from_bytes(payload[:4], "little")
    header = json.loads(payload[4 : 4 + size])
    return (header, payload[4 + size :]) if header["key"] == key else None


def _is_own(place: Path) -> bool:
    try:
        status = os.stat(place)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and _is_owned(status)


def _is_owned(status: os.stat_result) -> bool:
    """Whether it is the user's and nobody else may write to it."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


# --- size ---------------------------------------------------------------------------------------------------


def _bound(place: Path) -> None:
    """Now and then, remove what was not used for longest, and files that were never finished."""
    global _writes
    _writes += 1
    if _writes % _WRITES_PER_CHECK == 1:
        with contextlib.suppress(OSError):
            trim(place, MOST_BYTES)


def trim(place: Path, most: int) -> None:
    """Remove the files used least recently until those left have at most `most` bytes."""
    total, now = 0, time.time()
    for used, size, path in sorted(_files(place), reverse=True):
        total += size
        unfinished = not path.endswith(_SUFFIX)
        if now - used > _ABANDONED if unfinished else total > most:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _files(place: Path) -> list[tuple[float, int, str]]:
    """(time of last use, bytes, path) of our files in the folder."""
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            if entry.name.endswith((_SUFFIX, ".unfinished")):
                with contextlib.suppress(OSError):  # another process may have removed it
                    status = entry.stat()
                    found.append((status.st_mtime, status.st_size, entry.path))
    return found


def summary() -> str:
    """One line for `python -m fwddiff info`: folder, number of files and size, or why nothing is kept."""
    place = folder()
    if place is None:
        off = os.environ.get(VARIABLE, "").lower() == "off"
        return f"off (by {VARIABLE})" if off else "off (no folder of the user's was found)"
    if not place.exists():
        return f"{place} (empty)"
    if not _is_own(place):
        return f"{place} (not used: it belongs to somebody else, or others may write to it)"
    try:
        sizes = [size for _, size, path in _files(place) if path.endswith(_SUFFIX)]
    except OSError as error:
        return f"{place} (not used: {error})"
    written = "" if os.access(place, os.W_OK) else ", read-only"
    return f"{place} ({len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB{written})"
