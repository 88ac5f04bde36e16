"""Odd, damaged and hostile images, and what the command must make of each.

Every case is a function that makes files in a folder and returns the arguments of ``napari-ditto``.
Most click on the middle of one disc and write ``out.tif``.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import pickle
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
import tifffile
import zarr
from PIL import Image
from skimage.draw import disk

from tests.hostile.stores import Payload

SHAPE, CENTER, RADIUS = (96, 128), (40, 60), 18
RIGHT = "right"
"""The disc must be found, with an IoU of 0.9."""
ANSWERED = "answered"
"""There is nothing to find; any answer will do."""

CASES = {}


@dataclass(frozen=True)
class Case:
    """How a case is made, and RIGHT, ANSWERED or words of the one line that refuses it."""

    make: object
    expected: str
    file_limit: int | None = None


def case(expected, **options):
    """Enter a function in the table."""

    def enter(make):
        CASES[make.__name__.replace("_", " ")] = Case(make, expected, **options)
        return make

    return enter


def disc(low=30, high=200, dtype=np.uint8):
    image = np.full(SHAPE, low, dtype)
    image[disk(CENTER, RADIUS, shape=SHAPE)] = high
    return image


TRUTH = disc() > 100


def click(path, *more):
    folder = os.path.dirname(path)
    middle = ["--point", "{},{}".format(*CENTER), "-o", os.path.join(folder, "out.tif")]
    return ["prompt", str(path), "--model", "classic", *middle, *more]


def tiff(folder, image, *more, **options):
    tifffile.imwrite(folder / "image.tif", image, **options)
    return click(folder / "image.tif", *more)


def stored(folder, image, *more, **options):
    path = folder / "image.zarr"
    options.setdefault("chunks", tuple(min(32, n) or 1 for n in image.shape))
    zarr.create_array(path, data=image, **options)
    return click(path, *more)


def picture(folder, mode, suffix, **options):
    Image.fromarray(disc()).convert(mode).save(folder / f"image.{suffix}", **options)
    return click(folder / f"image.{suffix}")


def raw(folder, name, content):
    (folder / name).write_bytes(content)
    return click(folder / name)


# --- images that must simply work: types of pixels ------------------------------------------------

TYPES = {
    "booleans": ("?", 0, 1), "8 bits": ("u1", 30, 100), "signed 8 bits": ("i1", -100, 100),
    "16 bits, big-endian": (">u2", 30, 60000), "signed 32 bits": ("<i4", -(2**31), 2**31 - 1),
    "64 bits beyond 2**53": ("u8", 2**60, 2**60 + 10**9), "signed 64 bits": ("i8", -5, 5),
    "half floats": ("f2", 0.1, 0.9), "floats, big-endian": (">f4", -1e30, 1e30),
    "doubles": ("f8", 1e-300, 1e-299),
}  # fmt: skip
for name, (dtype, low, high) in TYPES.items():
    CASES[f"a zarr of {name}"] = Case(
        lambda folder, values=(low, high, dtype): stored(folder, disc(*values)), RIGHT
    )


@case(RIGHT)
def a_big_endian_tiff(folder):
    return tiff(folder, disc(dtype=np.uint16), byteorder=">")


@case(RIGHT)
def a_tiff_of_compressed_tiles(folder):
    return tiff(folder, disc(), tile=(32, 32), compression="zlib", predictor=True)


@case(RIGHT)
def a_tiff_of_one_bit(folder):
    return tiff(folder, disc(0, 1).astype(bool))


@case(RIGHT)
def nan_and_inf_beside_the_disc(folder):
    image = disc(dtype=np.float32)
    image[:10], image[10:14, :20], image[:, -5:] = np.nan, np.inf, -np.inf
    return tiff(folder, image)


@case(ANSWERED)
def nothing_but_nan(folder):
    return tiff(folder, np.full(SHAPE, np.nan, np.float32))


@case(ANSWERED)
def nothing_but_inf(folder):
    return tiff(folder, np.full(SHAPE, np.inf, np.float32))


@case(ANSWERED)
def one_value_everywhere(folder):
    return tiff(folder, np.full(SHAPE, 7, np.uint16))


@case(ANSWERED)
def one_row(folder):
    argv = stored(folder, np.arange(200, dtype="u1")[None])
    argv[argv.index("--point") + 1] = "0,60"
    return argv


@case(ANSWERED)
def one_pixel(folder):
    argv = tiff(folder, np.ones((1, 1), np.uint8))
    argv[argv.index("--point") + 1] = "0,0"
    return argv


# --- images that must simply work: axes and channels ----------------------------------------------


@case(RIGHT)
def colours(folder):
    return tiff(folder, np.stack([disc()] * 3, axis=-1), photometric="rgb")


@case(RIGHT)
def colours_with_alpha(folder):
    return tiff(
        folder, np.stack([disc()] * 4, axis=-1), photometric="rgb", extrasamples=["unassalpha"]
    )


@case(RIGHT)
def five_channels(folder):
    return stored(folder, np.stack([disc()] * 5), "--axes", "cyx")


@case(RIGHT)
def time_channel_depth(folder):
    image = np.zeros((2, 3, 4, *SHAPE), np.uint8)
    image[1, :, 2] = disc()
    return tiff(folder, image, "--plane", "t=1,z=2", ome=True, metadata={"axes": "TCZYX"})


@case(RIGHT)
def columns_before_rows(folder):
    return stored(folder, disc().T, "--axes", "xy", "--displayed", "y,x")


@case("axis")
def an_axis_named_twice(folder):
    return stored(folder, np.zeros((4, *SHAPE), "u1"), "--axes", "zyy")


@case(RIGHT)
def dimension_names_that_repeat(folder):
    return stored(folder, disc(), dimension_names=("y", "y"))


@case(RIGHT)
def pixels_longer_than_wide(folder):
    group = zarr.create_group(folder / "image.zarr")
    group.create_array("0", data=disc(), chunks=(32, 32))
    datasets = [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [100.0, 0.01]}]}
    ]
    images = [{"axes": [{"name": "y"}, {"name": "x"}], "datasets": datasets}]
    group.attrs.put({"ome": {"version": "0.5", "multiscales": images}})
    return click(folder / "image.zarr")


@case(RIGHT)
def missing_chunks(folder):
    array = zarr.create_array(folder / "image.zarr", shape=SHAPE, chunks=(32, 32), dtype="u1")
    array[:64] = disc()[:64]
    return click(folder / "image.zarr", "--window", "0,255")


@case(RIGHT)
def a_shard(folder):
    return stored(folder, disc(), shards=(96, 128), chunks=(32, 32))


@case(RIGHT)
def zarr_format_2_by_columns(folder):
    return stored(folder, disc(), zarr_format=2, order="F")


@case(RIGHT)
def consolidated_metadata_that_lie(folder):
    group = zarr.create_group(folder / "image.zarr")
    group.create_array("0", data=disc(), chunks=(32, 32))
    images = [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]
    group.attrs.put({"ome": {"version": "0.5", "multiscales": images}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(folder / "image.zarr")
    document = json.loads((folder / "image.zarr" / "zarr.json").read_text())
    listed = document["consolidated_metadata"]["metadata"]
    listed["0"]["shape"] = [2**40, 2**40]
    listed["../../etc"] = listed["0"]
    (folder / "image.zarr" / "zarr.json").write_text(json.dumps(document))
    return click(folder / "image.zarr")


@case(RIGHT)
def a_plane_2_to_the_40_wide(folder):
    array = zarr.create_array(
        folder / "image.zarr", shape=(SHAPE[0], 2**40), chunks=(96, 128), dtype="u1"
    )
    array[:, : SHAPE[1]] = disc()
    argv = click(folder / "image.zarr", "--window", "0,255", "--displayed", "y,x")
    argv[argv.index("-o") + 1] = str(folder / "out.zarr")
    return argv


MODES = [
    ("L", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("I;16", "png"), ("1", "bmp"),
    ("RGB", "jpg"), ("P", "gif"), ("RGB", "webp"), ("L", "ppm"),
]  # fmt: skip
for mode, suffix in MODES:
    CASES[f"a {suffix} of mode {mode}"] = Case(
        lambda folder, how=(mode, suffix): picture(folder, *how), RIGHT
    )


@case(RIGHT)
def a_name_that_is_no_text(folder):
    path = os.path.join(os.fsencode(folder), b"\xff\xfe.tif")
    Image.fromarray(disc()).save(folder / "image.tif")
    os.rename(folder / "image.tif", path)
    return click(os.fsdecode(path))


@case(RIGHT)
def a_name_of_two_lines(folder):
    tifffile.imwrite(folder / "two\nlines.tif", disc())
    return click(folder / "two\nlines.tif")


# --- what is no image, or not where it should be --------------------------------------------------


@case("empty")
def an_image_without_rows(folder):
    return stored(folder, np.zeros((0, 10), np.uint8))


@case("complex")
def complex_numbers_in_a_tiff(folder):
    return tiff(folder, disc().astype(np.complex64))


@case("complex")
def complex_numbers_in_a_zarr(folder):
    return stored(folder, disc().astype(np.complex64))


@case("two axes")
def one_axis(folder):
    return stored(folder, np.zeros(10, np.uint8))


@case("pixels of type")
def dates(folder):
    return stored(folder, np.zeros(SHAPE, "M8[ns]"), zarr_format=2)


@case("cannot open the file")
def no_file(folder):
    return click(folder / "nothing.tif")


@case("cannot open this folder as zarr")
def a_folder_of_something_else(folder):
    (folder / "other").mkdir()
    (folder / "other" / "a.txt").write_text("a")
    return click(folder / "other")


@case("no plain file")
def a_pipe(folder):
    os.mkfifo(folder / "image.tif")
    return click(folder / "image.tif")


@case("no plain file")
def an_endless_device(folder):
    (folder / "image.tif").symlink_to("/dev/zero")
    return click(folder / "image.tif")


@case("cannot open the file")
def a_link_to_nowhere(folder):
    (folder / "image.tif").symlink_to(folder / "nothing")
    return click(folder / "image.tif")


@case("cannot open the file")
def a_link_to_itself(folder):
    (folder / "image.tif").symlink_to("image.tif")
    return click(folder / "image.tif")


@case("remote addresses")
def an_address_on_the_web(folder):
    return ["prompt", "https://example.org/a.zarr", "--model", "classic", "--point", "1,1"]


NO_IMAGES = {
    "image.png": b"", "image.jpg": b"\xff\xd8\xff", "text.txt": b"hello", "zero.bin": bytes(4096),
    "image.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "page.pdf": b"%PDF-1.7\n%%EOF",
    "array.npy": b"\x93NUMPY\x01\x00", "archive.png": b"PK\x03\x04" + bytes(60),
    "image.gz": gzip.compress(b"II*\0"), "truncated.gif": b"GIF89a\x10\x00\x10\x00\x80",
}  # fmt: skip
for name, content in NO_IMAGES.items():
    CASES[f"{name} that is none"] = Case(
        lambda folder, how=(name, content): raw(folder, *how), "cannot read this file as an image"
    )


@case("cannot read this file as an image")
def postscript_is_not_run(folder):
    canary = folder / "canary"
    program = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({canary}) (w) file closefile\n"
    return raw(folder, "image.eps", program.encode())


@case("cannot read this file as an image")
def a_pickle_called_png(folder):
    return raw(folder, "image.png", pickle.dumps(Payload(folder / "canary")))


# --- pictures that blow up ------------------------------------------------------------------------


def png(width, height, *chunks):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*c) for c in chunks) + chunk(b"IEND", b"")


@case("too large")
def a_png_of_a_gigapixel(folder):
    return raw(folder, "image.png", png(40_000, 40_000, (b"IDAT", zlib.compress(b""))))


@case("too large")
def a_bmp_of_a_gigapixel(folder):
    head = struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 40_000, 40_000, 1, 24, *[0] * 6)
    return raw(folder, "image.bmp", b"BM" + head)


@case("cannot read this file as an image")
def a_png_whose_text_is_a_bomb(folder):
    text = b"Comment\0\0" + zlib.compress(bytes(200 << 20), 1)
    return raw(folder, "image.png", png(8, 8, (b"zTXt", text), (b"IDAT", zlib.compress(bytes(72)))))


@case("cannot read this file as an image")
def a_png_that_was_cut(folder):
    whole = picture(folder, "L", "png")
    os.truncate(folder / "image.png", 150)
    return whole


# --- TIFFs that blow up or go in circles ----------------------------------------------------------


def made_tiff(folder, width, height, data, compression=1, offset=None, next_page=0, **tags):
    """Write a TIFF of one 8-bit strip by hand; `tags` are (type, count, value) by number."""
    entries = {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, compression),
        262: (3, 1, 1), 273: (4, 1, 8 if offset is None else offset), 277: (3, 1, 1),
        278: (4, 1, height), 279: (4, 1, len(data)),
        **{int(number[1:]): entry for number, entry in tags.items()},
    }  # fmt: skip
    start = 8 + len(data)
    table = b"".join(struct.pack("<HHII", n, *entry) for n, entry in sorted(entries.items()))
    page = struct.pack("<H", len(entries)) + table
    last = struct.pack("<I", start if next_page == "itself" else next_page)
    return raw(folder, "image.tif", b"II*\0" + struct.pack("<I", start) + data + page + last)


def bomb(packed):
    return lambda folder: made_tiff(folder, 64, 64, packed[1], compression=packed[0])


BOMBS = {
    "deflate": (8, zlib.compress(bytes(200 << 20), 1)),
    "lzma": (34925, lzma.compress(bytes(50 << 20), preset=0)),
    "packbits": (32773, b"\x81\0" * 100_000),
}
for name, packed in BOMBS.items():
    CASES[f"a tiff whose {name} strip is a bomb"] = Case(bomb(packed), ANSWERED)


@case("one chunk takes")
def a_compressed_strip_of_exabytes(folder):
    return made_tiff(folder, 2**31, 2**31, zlib.compress(bytes(64)), compression=8)


@case("ends before")
def a_plain_strip_of_exabytes(folder):
    return made_tiff(folder, 2**31, 2**31, bytes(64))


@case("one chunk takes")
def a_compressed_tile_of_terabytes(folder):
    side = {"t322": (4, 1, 2**20), "t323": (4, 1, 2**20), "t324": (4, 1, 8), "t325": (4, 1, 9)}
    return made_tiff(folder, 64, 64, zlib.compress(bytes(64)), compression=8, **side)


@case("cannot read this TIFF")
def tiles_without_size(folder):
    side = {"t322": (4, 1, 0), "t323": (4, 1, 0), "t324": (4, 1, 8), "t325": (4, 1, 9)}
    return made_tiff(folder, 64, 64, zlib.compress(bytes(64)), compression=8, **side)


@case(ANSWERED)
def pages_in_a_circle(folder):
    return made_tiff(folder, 64, 64, bytes(64 * 64), next_page="itself")


@case(ANSWERED)
def a_tag_of_four_billion_values(folder):
    return made_tiff(folder, 64, 64, bytes(64 * 64), t273=(4, 2**32 - 1, 8))


@case("ends before")
def a_strip_behind_the_end(folder):
    return made_tiff(folder, 64, 64, bytes(64 * 64), offset=10**9)


@case("cannot read")
def a_strip_of_no_known_compression(folder):
    return made_tiff(folder, 64, 64, bytes(64 * 64), compression=4711)


@case("cannot read")
def pixels_of_255_bits(folder):
    return made_tiff(folder, 64, 64, bytes(64 * 64), t258=(3, 1, 255))


@case("cannot read this TIFF")
def a_tiff_of_eight_bytes(folder):
    return raw(folder, "image.tif", b"II*\0\x08\0\0\0")


@case("cannot read")
def a_tiff_that_was_cut(folder):
    argv = tiff(folder, disc(), tile=(32, 32), compression="zlib")
    os.truncate(folder / "image.tif", (folder / "image.tif").stat().st_size // 2)
    return argv


def ome(folder, file_name, text=""):
    """Write a TIFF whose OME-XML says that its pixels lie in another file."""
    xml = f"""<?xml version="1.0"?>{text}
    <OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">
    <Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="128" SizeY="96" SizeZ="1"
    SizeC="1" SizeT="1"><TiffData IFD="0" PlaneCount="1">
    <UUID FileName="{file_name}">urn:uuid:0</UUID></TiffData></Pixels></Image></OME>"""
    return tiff(folder, disc(), description=xml)


@case("leads out of its folder")
def pixels_in_a_file_elsewhere(folder):
    (folder / "inner").mkdir()
    tifffile.imwrite(folder / "secret.tif", disc())
    return ome(folder / "inner", "../secret.tif")


@case("no plain file")
def pixels_in_a_pipe(folder):
    os.mkfifo(folder / "pipe.tif")
    return ome(folder, "pipe.tif")


@case(ANSWERED)
def a_billion_laughs(folder):
    laughs = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    return ome(folder, "&a9;", f'<!DOCTYPE lolz [<!ENTITY a0 "ha">{laughs}]>')


# --- outputs that cannot be written ---------------------------------------------------------------


@case("cannot be written", file_limit=64)
def a_disk_that_is_full_for_a_tiff(folder):
    return tiff(folder, disc())


@case("", file_limit=64)
def a_disk_that_is_full_for_a_zarr(folder):
    argv = tiff(folder, disc())
    argv[argv.index("-o") + 1] = str(folder / "out.zarr")
    return argv


@case("cannot be written")
def a_folder_that_is_read_only(folder):
    argv = tiff(folder, disc())
    argv[argv.index("-o") + 1] = "/sys/out.tif"
    return argv


@case("/sys")
def a_folder_that_is_read_only_for_a_zarr(folder):
    argv = tiff(folder, disc())
    argv[argv.index("-o") + 1] = "/sys/out.zarr"
    return argv


@case("no folder")
def an_output_nowhere(folder):
    argv = tiff(folder, disc())
    argv[argv.index("-o") + 1] = str(folder / "nowhere" / "out.tif")
    return argv


@case("")
def an_output_that_is_something_else(folder):
    argv = tiff(folder, disc())
    (folder / "out.zarr").mkdir()
    (folder / "out.zarr" / "mine.txt").write_text("keep me")
    argv[argv.index("-o") + 1] = str(folder / "out.zarr")
    return argv


# --- the other commands ---------------------------------------------------------------------------


def sound(folder, name="image.tif", image=None):
    tifffile.imwrite(folder / name, disc() if image is None else image)
    return str(folder / name)


CLASSIC = ("--model", "classic")


@case(ANSWERED)
def info_about_a_sound_image(folder):
    return ["info", sound(folder), *CLASSIC]


@case("one chunk takes")
def info_about_a_bomb(folder):
    made_tiff(folder, 2**31, 2**31, zlib.compress(bytes(64)), compression=8)
    return ["info", str(folder / "image.tif"), *CLASSIC]


@case("no plain file")
def all_of_a_pipe(folder):
    os.mkfifo(folder / "image.tif")
    return ["all", str(folder / "image.tif"), *CLASSIC]


@case(ANSWERED)
def all_of_a_region_outside(folder):
    return ["all", sound(folder), *CLASSIC, "--region", "500,500,600,600"]


@case("")
def all_of_a_region_turned_round(folder):
    return ["all", sound(folder), *CLASSIC, "--region", "50,50,10,10"]


@case("nan")
def all_of_a_region_that_is_none(folder):
    return ["all", sound(folder), *CLASSIC, "--region", "nan,0,1,1"]


@case("example")
def like_without_an_example(folder):
    return ["like", sound(folder), *CLASSIC]


@case("")
def like_with_labels_of_another_shape(folder):
    labels = sound(folder, "labels.tif", np.ones((5, 5), np.uint8))
    return ["like", sound(folder), *CLASSIC, "--example", str(folder / "image.tif"), labels]


@case("")
def like_with_labels_that_are_fractions(folder):
    labels = sound(folder, "labels.tif", np.full(SHAPE, 0.5, np.float32))
    return ["like", sound(folder), *CLASSIC, "--example", str(folder / "image.tif"), labels]


@case("cannot be read")
def like_with_a_pickle_for_examples(folder):
    (folder / "a.ditto-examples").write_bytes(pickle.dumps(Payload(folder / "canary")))
    return ["like", sound(folder), *CLASSIC, "--examples", str(folder / "a.ditto-examples")]


@case("cannot be read")
def like_with_a_pipe_for_examples(folder):
    os.mkfifo(folder / "a.ditto-examples")
    return ["like", sound(folder), *CLASSIC, "--examples", str(folder / "a.ditto-examples")]


@case("")
def propagate_along_no_axis(folder):
    labels = sound(folder, "labels.tif", TRUTH.astype(np.uint8))
    out = ["-o", str(folder / "out.zarr")]
    return ["propagate", sound(folder), *CLASSIC, "--examples", labels, "--at", "z=1", *out]


@case("")
def propagate_from_a_plane_that_is_not_there(folder):
    tifffile.imwrite(folder / "stack.tif", np.stack([disc()] * 5), photometric="minisblack")
    stack = str(folder / "stack.tif")
    labels = sound(folder, "labels.tif", TRUTH.astype(np.uint8))
    out = ["-o", str(folder / "out.zarr")]
    return ["propagate", stack, *CLASSIC, "--examples", labels, "--at", "z=99", *out]


@case("")
def propagate_without_labels(folder):
    return ["propagate", sound(folder), *CLASSIC, "-o", str(folder / "out.zarr")]


@case("outside")
def a_click_outside(folder):
    return ["prompt", sound(folder), *CLASSIC, "--point", "9000,1"]


@case("finite")
def a_click_nowhere(folder):
    return ["prompt", sound(folder), *CLASSIC, "--point", "nan,1"]


@case("not 2 numbers")
def a_click_in_words(folder):
    return ["prompt", sound(folder), *CLASSIC, "--point", "here"]


@case("no model is called")
def a_model_that_is_not(folder):
    return ["prompt", sound(folder), "--model", "clasic", "--point", "40,60"]


@case("axis")
def a_plane_that_is_not(folder):
    return ["prompt", sound(folder), *CLASSIC, "--point", "40,60", "--plane", "z=3"]


@case("")
def a_window_turned_round(folder):
    return ["prompt", sound(folder), *CLASSIC, "--point", "40,60", "--window", "9,1"]


@case("")
def a_channel_axis_that_is_not(folder):
    return ["prompt", sound(folder), *CLASSIC, "--point", "40,60", "--channel-axis", "9"]
