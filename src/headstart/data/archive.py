"""The entries of a zip, listed without unpacking, and refused where the zip means harm."""

import stat
import struct
import zipfile
from dataclasses import dataclass

from headstart.core.errors import DataError
from headstart.data.dataset import Exclusion
from headstart.data.names import is_left_by_system, is_picture_name, printable
from headstart.data.sources import ZipMember
from headstart.data.storage import File, name_of, open_file

_ENCRYPTED = 0x1  # general purpose flag, APPNOTE.TXT 4.4.4
_UNIX_MODE_SHIFT = 16  # upper half of the external attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies in a zip.

    Attributes:
        members: where the pictures lie, by their path in the zip with "/" between folders.
        excluded: pictures by name that cannot be used.
        num_passed_over: how many files are not pictures by their name.
    """

    members: dict[str, ZipMember]
    excluded: tuple[Exclusion, ...]
    num_passed_over: int


def list_zip(path: File) -> Listing:
    """List a zip's pictures.

    Raises:
        DataError: it is damaged or encrypted, or an entry's name points outside of it.
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {name_of(path)!r}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise DataError(
            f"{name_of(path)!r} is not a whole zip file: {error}", hint="download or make it again"
        ) from error
    members: dict[str, ZipMember] = {}
    excluded: list[Exclusion] = []
    num_passed_over = 0
    for entry in entries:
        name = _checked_name(entry, path)
        if entry.is_dir() or any(map(is_left_by_system, name.split("/"))):
            continue
        if not is_picture_name(name):
            num_passed_over += 1
        elif stat.S_ISLNK(entry.external_attr >> _UNIX_MODE_SHIFT):
            excluded.append(Exclusion(id=name, reason="a symbolic link inside a zip"))
        else:
            if name in members:  # what unpacking would leave: the later one
                excluded.append(Exclusion(id=name, reason="replaced by a later entry of the same name"))
            members[name] = _member(entry)
    return Listing(members=members, excluded=tuple(excluded), num_passed_over=num_passed_over)


def _checked_name(entry: zipfile.ZipInfo, path: File) -> str:
    name = inner_name(entry.orig_filename.split("\0")[0], path)
    if entry.flag_bits & _ENCRYPTED:
        raise DataError(
            f"{name_of(path)!r} is encrypted", hint="unpack it with its password and give the folder instead"
        )
    return name


def inner_name(name: str, archive: File) -> str:
    """Return the path of an entry of an archive, with "/" between folders.

    Raises:
        DataError: it points outside of the archive.
    """
    cleaned = name.replace("\\", "/")
    parts = cleaned.split("/")
    has_drive = len(cleaned) > 1 and cleaned[1] == ":" and cleaned[0].isalpha()
    if cleaned.startswith("/") or ".." in parts or has_drive:
        raise DataError(
            f"{name_of(archive)!r} holds an entry that points outside of it: {name!r}",
            hint="do not trust this archive; make a new one from the pictures themselves",
        )
    return printable("/".join(part for part in parts if part not in ("", ".")))


def _member(entry: zipfile.ZipInfo) -> ZipMember:
    return ZipMember(
        offset=entry.header_offset,
        packed_bytes=entry.compress_size,
        size_bytes=entry.file_size,
        method=entry.compress_type,
        crc=entry.CRC,
    )
