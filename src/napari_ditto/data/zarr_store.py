"""A zarr store on disk that trusts nothing that lies in it.

Every metadata file passes :mod:`napari_ditto.data.zarr_rules` on its way to zarr, so what was
checked is what is used. Only plain files inside the folder are read, never a pipe or a device,
and no link is followed out of it, for reading or for writing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zarr.abc.store import (  # noqa: TID253  # imported only where zarr is needed anyway
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from zarr.core.buffer import default_buffer_prototype  # noqa: TID253
from zarr.storage import LocalStore  # noqa: TID253

from napari_ditto.core.plain_file import NotPlainError, open_plain, real_inside
from napari_ditto.data.zarr_rules import MAX_METADATA, METADATA, check_file, chunk_limit
from napari_ditto.errors import SourceError

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class GuardedStore(LocalStore):
    """A folder in which every file is checked; see the module.

    Raises
    ------
    SourceError
        From any read or write that the folder must not ask of us.
    """

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._home = os.path.realpath(root)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return the bytes of a key, None if there is none."""
        if not self._is_open:
            await self._open()
        return await asyncio.to_thread(self._read, key, prototype, byte_range)

    def get_sync(
        self,
        key: str,
        *,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """As :meth:`get`, at once."""
        self._ensure_open_sync()
        return self._read(key, prototype, byte_range)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """As :meth:`get`, for several keys."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def _set(self, key: str, value: Buffer, exclusive: bool = False) -> None:
        self._check_target(key)
        await super()._set(key, value, exclusive=exclusive)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write the bytes of a key at once."""
        self._check_target(key)
        super().set_sync(key, value)

    async def delete(self, key: str) -> None:
        """Remove a key."""
        self._check_target(key)
        await super().delete(key)

    def delete_sync(self, key: str) -> None:
        """As :meth:`delete`, at once."""
        self._check_target(key)
        super().delete_sync(key)

    async def delete_dir(self, prefix: str) -> None:
        """Remove all keys below a prefix."""
        self._check_target(prefix)
        await super().delete_dir(prefix)

    def _read(
        self, key: str, prototype: BufferPrototype | None, byte_range: ByteRequest | None
    ) -> Buffer | None:
        path = Path(self._home, key)
        try:
            with open_plain(path, self._home) as file:
                start, stop = _span(byte_range, os.fstat(file.fileno()).st_size)
                _check_size(stop - start, path)
                file.seek(start)
                raw = file.read(stop - start)
        except NotPlainError as error:
            raise _refusal(error, path) from error
        except _ABSENT:
            return None
        if path.name in METADATA:
            check_file(path.name, raw, str(path.parent))
        return (prototype or default_buffer_prototype()).buffer.from_bytes(raw)

    def _check_target(self, key: str) -> None:
        """Refuse to write through a link; the file itself is replaced, so its folder counts."""
        path = Path(self._home, key)
        try:
            real_inside(path.parent if key else path, self._home)
        except NotPlainError as error:
            raise _refusal(error, path) from error


def _check_size(size: int, path: Path) -> None:
    # To ask for the free memory takes longer than to read a chunk, and most are small.
    if size <= MAX_METADATA:
        return
    limit = MAX_METADATA if path.name in METADATA else chunk_limit()
    if size > limit:
        raise NotPlainError(f"it is larger than {limit:,} bytes", path)


def _span(wanted: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return first and last byte, inside a file of `size` bytes, that a request means."""
    if isinstance(wanted, RangeByteRequest):
        start, stop = wanted.start, wanted.end
    elif isinstance(wanted, OffsetByteRequest):
        start, stop = wanted.offset, size
    elif isinstance(wanted, SuffixByteRequest):
        start, stop = size - wanted.suffix, size
    else:
        start, stop = 0, size
    start = min(max(0, start), size)
    return start, min(max(start, stop), size)


def _refusal(error: NotPlainError, path: Path) -> SourceError:
    return SourceError(
        f"a file of this zarr folder is refused: {error.strerror}",
        where=str(path),
        todo="Copy the image as plain files into one folder.",
    )
