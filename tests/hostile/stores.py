"""Zarr folders that mean harm: each function makes one below a folder and returns its path."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import struct
import zlib

import numcodecs
import numpy as np
import zarr

SIDE = 16
BOMB = 16 << 20

STORES = {}
"""Name -> (maker, what the refusal must speak of)."""


class Payload:
    """Unpickling this makes a folder: proof that code ran."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return (os.mkdir, (self.canary,))


def store(says):
    """Enter a maker in the table."""

    def enter(make):
        STORES[make.__name__.replace("_", " ")] = (make, says)
        return make

    return enter


def array(folder, zarr_format=3, **options):
    """Write a small sound array and return its path."""
    path = folder / "image.zarr"
    made = zarr.create_array(
        path, shape=(SIDE, SIDE), chunks=options.pop("chunks", (SIDE, SIDE)), dtype="u1",
        zarr_format=zarr_format, **({"compressors": None} | options),
    )  # fmt: skip
    made[...] = 7
    return path


def edited(path, name, **changes):
    """Change the metadata of an array; dots in a key lead into inner tables."""
    file = path / name
    document = json.loads(file.read_text())
    for key, value in changes.items():
        *way, last = key.split("__")
        inner = document
        for step in way:
            inner = inner[step]
        inner[last] = value
    file.write_text(json.dumps(document))
    return path


def v2(folder, chunk=None, **changes):
    path = edited(array(folder, 2), ".zarray", **changes)
    if chunk is not None:
        (path / "0.0").write_bytes(chunk)
    return path


def v3(folder, **changes):
    return edited(array(folder), "zarr.json", **changes)


def pickled(canary):
    return numcodecs.Pickle().encode(np.array([Payload(canary)], dtype=object))


# --- codecs that run code or make objects -------------------------------------------------------


@store("pickle is not on the list")
def a_pickle_filter(folder, canary):
    return v2(folder, pickled(canary), filters=[{"id": "pickle"}])


@store("pickle is not on the list")
def a_pickle_compressor(folder, canary):
    return v2(folder, pickled(canary), compressor={"id": "pickle"})


@store("pixels of type")
def objects_behind_vlen_and_pickle(folder, canary):
    filters = [{"id": "vlen-utf8"}, {"id": "pickle"}]
    return v2(folder, pickled(canary), dtype="|O", filters=filters, fill_value=None)


@store("pixels of type")
def objects_of_json(folder, canary):
    return v2(folder, b"[]", dtype="|O", filters=[{"id": "json2"}], fill_value=None)


@store("msgpack2 is not on the list")
def numbers_of_msgpack(folder, canary):
    return v2(folder, filters=[{"id": "msgpack2"}])


@store("categorize is not on the list")
def categories(folder, canary):
    return v2(
        folder, filters=[{"id": "categorize", "labels": ["a"], "dtype": "<U1", "astype": "|u1"}]
    )


@store("not on the list")
def a_codec_that_nobody_knows(folder, canary):
    return v2(folder, compressor={"id": "evil\nname" * 99})


@store("pickle is not on the list")
def a_pickle_codec_of_format_3(folder, canary):
    return v3(folder, codecs=[{"name": "bytes"}, {"name": "numcodecs.pickle"}])


@store("pixels of type string")
def text_of_format_3(folder, canary):
    return v3(folder, data_type="string", codecs=[{"name": "vlen-utf8"}], fill_value="")


@store("pickle is not on the list")
def a_pickle_inside_a_shard_inside_a_shard(folder, canary):
    inner = shard([shard([{"name": "bytes"}, {"name": "pickle"}])])
    return v3(folder, codecs=[inner])


@store("pickle is not on the list")
def a_pickle_that_decodes_the_index(folder, canary):
    return v3(folder, codecs=[shard([{"name": "bytes"}], index=[{"name": "pickle"}])])


def shard(codecs, side=8, index=None):
    index = index or [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    settings = {"chunk_shape": [side, side], "codecs": codecs, "index_codecs": index}
    return {"name": "sharding_indexed", "configuration": settings}


# --- types and sizes ----------------------------------------------------------------------------


@store("pixels of type")
def structured_pixels(folder, canary):
    return v2(folder, dtype=[["a", "<u4"], ["b", "|O"]], fill_value=None)


@store("pixels of type")
def pixels_of_four_megabytes(folder, canary):
    return v2(folder, dtype="<U1000000", fill_value="")


@store("damaged")
def a_filter_that_makes_text(folder, canary):
    astype = {"id": "astype", "encode_dtype": "|u1", "decode_dtype": "<U1000000"}
    return v2(folder, filters=[astype])


@store("one chunk takes")
def a_chunk_of_a_tebibyte(folder, canary):
    return v2(folder, shape=[2**40, 2**40], chunks=[2**20, 2**20])


@store("one chunk takes")
def a_chunk_of_a_tebibyte_in_format_3(folder, canary):
    return v3(folder, shape=[2**30, 2**30], chunk_grid__configuration__chunk_shape=[2**20, 2**20])


@store("one chunk takes")
def a_shard_with_an_endless_index(folder, canary):
    return v3(
        folder,
        shape=[2**30, 2**30],
        chunk_grid__configuration__chunk_shape=[2**20, 2**20],
        codecs=[shard([{"name": "bytes"}], side=1)],
    )


@store("one chunk takes")
def a_large_shard_that_is_compressed_as_a_whole(folder, canary):
    return v3(
        folder,
        shape=[2**30, 2**30],
        chunk_grid__configuration__chunk_shape=[2**18, 2**18],
        codecs=[shard([{"name": "bytes"}], side=2**12), {"name": "gzip"}],
    )


@store("damaged")
def a_negative_size(folder, canary):
    return v2(folder, shape=[-1, SIDE])


@store("damaged")
def a_size_that_is_no_whole_number(folder, canary):
    return v2(folder, shape=[16.0, SIDE])


@store("damaged")
def a_size_that_is_no_number(folder, canary):
    return v2(folder, shape=[float("nan"), SIDE])


@store("damaged")
def a_size_beyond_64_bits(folder, canary):
    return v2(folder, shape=[2**64, SIDE])


@store("not JSON")
def a_size_of_5000_digits(folder, canary):
    path = array(folder, 2)
    text = (path / ".zarray").read_text().replace("16", "1" * 5000, 1)
    (path / ".zarray").write_text(text)
    return path


@store("damaged")
def chunks_of_no_size(folder, canary):
    return v2(folder, chunks=[0, SIDE])


@store("damaged")
def chunks_with_more_axes(folder, canary):
    return v2(folder, chunks=[1] * 40)


# --- where chunks lie ---------------------------------------------------------------------------


@store("damaged")
def a_separator_that_leaves(folder, canary):
    return v2(folder, dimension_separator="/../../")


@store("damaged")
def a_separator_that_leaves_in_format_3(folder, canary):
    return v3(folder, chunk_key_encoding={"name": "v2", "configuration": {"separator": "/../"}})


@store("damaged")
def names_of_chunks_that_nobody_knows(folder, canary):
    return v3(folder, chunk_key_encoding={"name": "suffix", "configuration": {"suffix": "/.."}})


@store("damaged")
def a_grid_of_another_kind(folder, canary):
    return v3(folder, chunk_grid__name="rectilinear")


@store("damaged")
def a_store_that_is_transformed(folder, canary):
    return v3(folder, storage_transformers=[{"name": "evil", "configuration": {}}])


def image(folder, path):
    """Write an image group whose metadata name `path` as its only level."""
    zarr.create_array(folder / "secret", shape=(SIDE, SIDE), chunks=(SIDE, SIDE), dtype="u1")
    images = [{"axes": ["y", "x"], "datasets": [{"path": path}]}]
    group = zarr.create_group(folder / "image.zarr")
    group.attrs.put({"ome": {"version": "0.5", "multiscales": images}})
    return folder / "image.zarr"


LEAVING = {
    "a level above": "../secret",
    "a level on a Windows drive": "C:\\secret",
    "a level above for Windows": "..\\secret",
    "a level on a server": "//host/share/a",
    "a level at the root": "/etc",
}
for name, way in LEAVING.items():
    STORES[name] = (lambda folder, _canary, way=way: image(folder, way), "leaves the image's")


@store("cannot be opened")
def a_level_on_the_web(folder, canary):
    return image(folder, "https://example.org/a.zarr")


@store("leaves")
def a_level_with_a_zero_byte(folder, canary):
    return image(folder, "a\0b")


@store("leaves")
def a_level_that_is_a_link(folder, canary):
    path = image(folder, "0")
    (path / "0").symlink_to(folder / "secret", target_is_directory=True)
    return path


@store("leads out")
def metadata_that_are_a_link(folder, canary):
    path = array(folder)
    (path / "zarr.json").rename(folder / "elsewhere.json")
    (path / "zarr.json").symlink_to(folder / "elsewhere.json")
    return path


@store("leads out")
def a_chunk_that_is_a_link(folder, canary):
    path = array(folder, 2)
    (folder / "secret.bin").write_bytes(b"s" * SIDE * SIDE)
    (path / "0.0").unlink()
    (path / "0.0").symlink_to(folder / "secret.bin")
    return path


@store("leads out")
def chunks_behind_a_link(folder, canary):
    path = array(folder)
    (path / "c").rename(folder / "c")
    (path / "c").symlink_to(folder / "c", target_is_directory=True)
    return path


@store("leads out")
def a_chunk_that_never_ends(folder, canary):
    path = array(folder, 2)
    (path / "0.0").unlink()
    (path / "0.0").symlink_to("/dev/zero")
    return path


@store("no plain file")
def a_chunk_that_is_a_pipe(folder, canary):
    path = array(folder, 2)
    (path / "0.0").unlink()
    os.mkfifo(path / "0.0")
    return path


@store("no plain file")
def metadata_that_are_a_pipe(folder, canary):
    path = array(folder)
    (path / "zarr.json").unlink()
    os.mkfifo(path / "zarr.json")
    return path


# --- metadata as such ---------------------------------------------------------------------------


@store("not JSON")
def metadata_nested_a_million_deep(folder, canary):
    path = array(folder)
    (path / "zarr.json").write_text("[" * 10**6)
    return path


@store("16,777,216 bytes")
def metadata_of_20_megabytes(folder, canary):
    path = array(folder)
    with (path / "zarr.json").open("a") as file:
        file.write(" " * (20 << 20))
    return path


@store("no table")
def metadata_that_are_a_list(folder, canary):
    path = array(folder)
    (path / "zarr.json").write_text("[1]")
    return path


@store("cannot open")
def metadata_that_are_a_folder(folder, canary):
    path = array(folder)
    (path / "zarr.json").unlink()
    (path / "zarr.json").mkdir()
    return path


@store("pickle is not on the list")
def two_formats_one_of_them_hostile(folder, canary):
    (folder / "other").mkdir()
    sound = array(folder / "other", 2) / ".zarray"
    path = v3(folder, codecs=[{"name": "bytes"}, {"name": "numcodecs.pickle"}])
    sound.rename(path / ".zarray")
    return path


# --- chunks that decode to far more than they should ---------------------------------------------


def bomb(folder, compressor, encoded):
    return v2(folder, encoded, compressor={"id": compressor})


@store("more than its metadata")
def a_gzip_bomb(folder, canary):
    return bomb(folder, "gzip", gzip.compress(bytes(BOMB), 1))


@store("more than its metadata")
def a_gzip_bomb_in_small_members(folder, canary):
    return bomb(folder, "gzip", gzip.compress(bytes(1 << 16), 1) * 64)


@store("more than its metadata")
def a_zlib_bomb(folder, canary):
    return bomb(folder, "zlib", zlib.compress(bytes(BOMB), 1))


@store("more than its metadata")
def a_bz2_bomb(folder, canary):
    return bomb(folder, "bz2", bz2.compress(bytes(BOMB), 1))


@store("more than its metadata")
def an_lzma_bomb(folder, canary):
    return bomb(folder, "lzma", lzma.compress(bytes(BOMB), preset=0))


@store("more than its metadata")
def a_zstd_bomb(folder, canary):
    return bomb(folder, "zstd", numcodecs.Zstd().encode(bytes(BOMB)))


@store("more than its metadata")
def a_zstd_bomb_that_hides_its_size(folder, canary):
    run = (1 << 17) << 3 | 1 << 1  # a block of 128 KiB that is one byte over and over
    frame = struct.pack("<IBB", 0xFD2FB528, 0, 0x50)
    blocks = [struct.pack("<I", run)[:3] + b"a"] * 128
    blocks.append(struct.pack("<I", 1)[:3])
    return bomb(folder, "zstd", frame + b"".join(blocks))


@store("more than its metadata")
def a_blosc_bomb(folder, canary):
    return bomb(folder, "blosc", numcodecs.Blosc().encode(np.zeros(BOMB, "u1")))


@store("more than its metadata")
def an_lz4_bomb(folder, canary):
    return bomb(folder, "lz4", numcodecs.LZ4().encode(bytes(BOMB)))


@store("damaged")
def a_blosc_header_that_lies(folder, canary):
    good = numcodecs.Blosc().encode(np.zeros(SIDE * SIDE, "u1"))
    return bomb(folder, "blosc", good[:12] + struct.pack("<I", 2**31 - 1) + good[16:])


@store("more than its metadata")
def a_gzip_bomb_of_format_3(folder, canary):
    path = array(folder, compressors=zarr.codecs.GzipCodec())
    (path / "c" / "0" / "0").write_bytes(gzip.compress(bytes(BOMB), 1))
    return path


@store("more than its metadata")
def a_zstd_bomb_in_a_shard(folder, canary):
    path = array(
        folder, chunks=(8, 8), shards=(SIDE, SIDE), compressors=zarr.codecs.ZstdCodec(),
    )  # fmt: skip
    inner = numcodecs.Zstd().encode(bytes(BOMB))
    index = struct.pack("<8Q", *([0, len(inner)] * 4))
    import google_crc32c

    check = struct.pack("<I", google_crc32c.value(index))
    (path / "c" / "0" / "0").write_bytes(inner + index + check)
    return path


@store("cannot read the image")
def a_chunk_that_is_too_short(folder, canary):
    return v2(folder, b"short")


@store("cannot read the image")
def a_compressed_chunk_that_ends_early(folder, canary):
    return bomb(folder, "gzip", gzip.compress(bytes(SIDE * SIDE))[:-9])


def pickle_is_real(canary):
    """Run the payload; the canary must sing, or the corpus proves nothing."""
    pickle.loads(pickle.dumps(Payload(canary)))
    return os.path.isdir(canary)
