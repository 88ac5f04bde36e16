"""The codecs of a zarr array, each bounded in what it may make of a chunk."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import zarr  # noqa: TID253  # imported only where zarr is needed anyway
from zarr.abc.codec import BytesBytesCodec, Codec  # noqa: TID253
from zarr.codecs import ShardingCodec  # noqa: TID253
from zarr.codecs._v2 import V2Codec  # noqa: TID253
from zarr.core.codec_pipeline import BatchedCodecPipeline  # noqa: TID253

from napari_ditto.data.bounded_decoding import check_claim, claims, expand, is_bounded
from napari_ditto.data.zarr_rules import chunk_bytes

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

SLACK = 8
"""A filter may have stored bytes as numbers of eight bytes."""

SPARE = 1 << 16
"""Headers and small chunks."""


def guarded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Return the same array, whose chunks cannot decode to much more than they should have.

    With another codec pipeline than zarr's own, the array is returned as it is.
    """
    inner = copy.copy(array.async_array)
    pipeline = inner.codec_pipeline
    if not isinstance(pipeline, BatchedCodecPipeline):
        return array
    metadata = inner.metadata
    limit = SLACK * chunk_bytes(metadata.to_dict(), metadata.zarr_format) + SPARE
    bounded = BatchedCodecPipeline.from_codecs([_bounded(codec, limit) for codec in pipeline])
    object.__setattr__(inner, "codec_pipeline", bounded)
    return zarr.Array(inner)


def _bounded(codec: Codec, limit: int) -> Codec:
    if isinstance(codec, BoundedCodec):
        return codec
    if isinstance(codec, ShardingCodec):
        return replace(codec, codecs=tuple(_bounded(c, limit) for c in codec.codecs))
    if isinstance(codec, V2Codec):
        filters = codec.filters and tuple(_bounded_numcodec(f, limit) for f in codec.filters)
        return replace(
            codec, filters=filters, compressor=_bounded_numcodec(codec.compressor, limit)
        )
    if isinstance(codec, BytesBytesCodec):
        told = cast("Mapping[str, Any]", codec.to_dict())
        name = str(told["name"]).removeprefix("numcodecs.")
        if is_bounded(name):
            return BoundedCodec(codec, name, limit, told.get("configuration") or {})
    return codec


def _bounded_numcodec(codec: Any, limit: int) -> Any:  # noqa: ANN401
    if codec is None or isinstance(codec, BoundedNumcodec) or not is_bounded(codec.codec_id):
        return codec
    return BoundedNumcodec(codec, limit)


@dataclass(frozen=True)
class BoundedCodec(BytesBytesCodec):
    """A codec of zarr format 3 that makes at most `limit` bytes of a chunk."""

    inner: BytesBytesCodec
    name: str
    limit: int
    settings: Mapping[str, Any]

    is_fixed_size = False

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        raw = chunk_data.to_bytes()
        if claims(self.name):  # quick, so that no thread is worth it
            check_claim(self.name, raw, self.limit)
            return await self.inner._decode_single(chunk_data, chunk_spec)
        plain = await asyncio.to_thread(expand, self.name, self.settings, raw, self.limit)
        return chunk_spec.prototype.buffer.from_bytes(plain or b"")

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await self.inner._encode_single(chunk_data, chunk_spec)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Return the size of a chunk once it is encoded, where the codec can tell."""
        return self.inner.compute_encoded_size(input_byte_length, chunk_spec)

    def to_dict(self) -> dict[str, Any]:
        """Return the codec's own metadata."""
        return self.inner.to_dict()


@dataclass(frozen=True)
class BoundedNumcodec:
    """A codec of zarr format 2 that makes at most `limit` bytes of a chunk."""

    inner: Any
    limit: int

    @property
    def codec_id(self) -> str:
        """The codec's name."""
        return str(self.inner.codec_id)

    def decode(self, buf: Any, out: Any = None) -> Any:  # noqa: ANN401
        """Return decoded bytes."""
        plain = expand(self.codec_id, self.get_config(), bytes(buf), self.limit)
        return self.inner.decode(buf, out) if plain is None else plain

    def encode(self, buf: Any) -> Any:  # noqa: ANN401
        """Return encoded bytes."""
        return self.inner.encode(buf)

    def get_config(self) -> dict[str, Any]:
        """Return the codec's own metadata."""
        return dict(self.inner.get_config())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> BoundedNumcodec:
        """Refuse: a limit does not come from metadata."""
        raise TypeError("a bounded codec is made from a codec")
