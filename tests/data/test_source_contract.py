"""One contract, every kind of image that we open."""

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_ditto.data.source import compose_sources, open_source
from napari_ditto.testing.contracts.source import SourceCase, SourceContract


def pixels(shape, dtype="uint16"):
    values = np.random.default_rng(7).integers(0, 5000, shape)
    return (values % 251 if np.dtype(dtype).itemsize == 1 else values).astype(dtype)


def grey(source, raw):
    return SourceCase(source, raw[..., None])


class TestNumpy(SourceContract):
    @pytest.fixture(params=["bool", "uint8", ">i2", "uint64", "float16", ">f8"])
    def case(self, request):
        raw = pixels((3, 5, 40, 50), request.param)
        return grey(open_source(raw), raw)


class TestNumpyWithNaN(SourceContract):
    @pytest.fixture
    def case(self):
        raw = pixels((4, 600, 700), "float32")
        raw[0] = np.nan
        raw[1, ::7] = np.inf
        raw[1, ::11] = -np.inf
        return grey(open_source(raw), raw)


class TestSevenAxes(SourceContract):
    @pytest.fixture
    def case(self):
        raw = pixels((2, 3, 1, 2, 3, 8, 9))
        return grey(open_source(raw), raw)


class TestThin(SourceContract):
    @pytest.fixture(params=[(2, 700), (900, 2), (2, 2)])
    def case(self, request):
        raw = pixels(request.param)
        return grey(open_source(raw), raw)


class TestRGB(SourceContract):
    @pytest.fixture(params=["rgb", "rgba", "named"])
    def case(self, request):
        raw = pixels((3, 40, 50, 4 if request.param == "rgba" else 3), "uint8")
        if request.param == "named":
            return SourceCase(open_source(raw, axes="zyxc"), raw)
        return SourceCase(open_source(raw, channel_axis=-1), raw[..., :3])


class TestChannels(SourceContract):
    @pytest.fixture(params=[1, 2, 3, 5])
    def case(self, request):
        raw = pixels((3, request.param, 40, 50))
        return SourceCase(open_source(raw, axes="tcyx"), np.moveaxis(raw, 1, -1)[..., :3])


class TestPickedChannels(SourceContract):
    @pytest.fixture
    def case(self):
        raw = pixels((5, 3, 40, 50))
        source = open_source(raw, channel_axis=0, channels=(4, 0, 1))
        return SourceCase(source, np.moveaxis(raw[[4, 0, 1]], 0, -1))


class TestDask(SourceContract):
    @pytest.fixture
    def case(self):
        raw = pixels((3, 70, 90))
        return grey(open_source(da.from_array(raw, chunks=(1, 32, 41))), raw)


class TestZarr(SourceContract):
    @pytest.fixture(params=["v2", "v3", "sharded", "fortran"])
    def case(self, request, tmp_path):
        raw = pixels((3, 70, 90))
        options = {
            "v2": {"zarr_format": 2, "chunks": (1, 32, 32)},
            "v3": {"chunks": (2, 32, 32)},
            "sharded": {"chunks": (1, 16, 16), "shards": (1, 64, 64)},
            "fortran": {"zarr_format": 2, "chunks": (3, 70, 90), "order": "F"},
        }[request.param]
        array = zarr.create_array(tmp_path / "a.zarr", shape=raw.shape, dtype=raw.dtype, **options)
        array[...] = raw
        opened = tmp_path / "a.zarr" if request.param == "v2" else array
        return grey(open_source(opened), raw)


def write_ome_zarr(path, raw, version, factors=((1, 1, 1, 1), (1, 1, 2, 2), (1, 1, 4, 4))):
    """Write a tczyx-like pyramid of axes c, z, y, x by plain striding."""
    old = version == "0.4"
    group = zarr.create_group(path, zarr_format=2 if old else 3)
    for i, f in enumerate(factors):
        level = raw[tuple(slice(None, None, n) for n in f)]
        array = group.create_array(
            f"s{i}", shape=level.shape, chunks=(1, 1, 32, 32), dtype=raw.dtype
        )
        array[...] = level
    multiscales = [
        {
            "version": "0.4",
            "axes": [{"name": n, "type": "channel" if n == "c" else "space"} for n in "czyx"],
            "datasets": [
                {
                    "path": f"s{i}",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [1, 2 * f[1], 0.5 * f[2], 0.5 * f[3]]}
                    ],
                }
                for i, f in enumerate(factors)
            ],
        }
    ]
    group.attrs.put(
        {"multiscales": multiscales}
        if old
        else {"ome": {"version": "0.5", "multiscales": multiscales}}
    )


class TestOmeZarr(SourceContract):
    @pytest.fixture(params=["0.4", "0.5"])
    def case(self, request, tmp_path):
        raw = pixels((2, 4, 130, 101))
        write_ome_zarr(tmp_path / "image.zarr", raw, request.param)
        source = open_source(tmp_path / "image.zarr")
        assert source.scale == (2, 0.5, 0.5)
        return SourceCase(source, np.moveaxis(raw, 0, -1))


class TestMultiscaleList(SourceContract):
    @pytest.fixture(params=["list", "napari"])
    def case(self, request):
        raw = pixels((4, 130, 101))
        levels = [raw, raw[:, ::2, ::2], raw[::2, ::4, ::4]]
        if request.param == "napari":
            from napari.layers._multiscale_data import MultiScaleData

            levels = MultiScaleData(levels)
        source = open_source(levels)
        assert source.stored_levels == 3
        return grey(source, raw)


class TestTiff(SourceContract):
    @pytest.fixture(params=["plain", "big-endian", "deflate", "tiled", "bigtiff", "imagej"])
    def case(self, request, tmp_path):
        raw = pixels((3, 70, 90))
        options = {
            "plain": {},
            "big-endian": {"byteorder": ">"},
            "deflate": {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
            "tiled": {"tile": (32, 32)},
            "bigtiff": {"bigtiff": True},
            "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        }[request.param]
        tifffile.imwrite(tmp_path / "a.tif", raw, photometric="minisblack", **options)
        with open_source(tmp_path / "a.tif") as source:
            yield grey(source, raw)


class TestRGBTiff(SourceContract):
    @pytest.fixture(params=["contig", "separate"])
    def case(self, request, tmp_path):
        raw = pixels((70, 90, 3), "uint8")
        stored = raw if request.param == "contig" else np.moveaxis(raw, 2, 0)
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=request.param)
        with open_source(tmp_path / "a.tif") as source:
            yield SourceCase(source, raw)


class TestOmeTiffPyramid(SourceContract):
    @pytest.fixture
    def case(self, tmp_path):
        raw = pixels((2, 128, 160))
        with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
            options = {"tile": (32, 32), "photometric": "minisblack", "compression": "zlib"}
            file.write(raw, subifds=1, metadata={"axes": "CYX"}, **options)
            file.write(raw[:, ::2, ::2], subfiletype=1, **options)
        with open_source(tmp_path / "a.ome.tif") as source:
            assert source.stored_levels == 2
            yield SourceCase(source, np.moveaxis(raw, 0, -1))


class TestPicture(SourceContract):
    @pytest.fixture(params=["L", "RGB", "RGBA", "I;16"])
    def case(self, request, tmp_path):
        channels = {"RGB": (3,), "RGBA": (4,)}.get(request.param, ())
        raw = pixels((40, 50, *channels), "uint16" if request.param == "I;16" else "uint8")
        Image.fromarray(raw).save(tmp_path / "a.png")
        return SourceCase(open_source(str(tmp_path / "a.png")), raw.reshape(40, 50, -1)[..., :3])


class TestComposed(SourceContract):
    @pytest.fixture(params=[2, 3, 4])
    def case(self, request):
        raw = [pixels((3, 40, 50), kind) + i for i, kind in enumerate(["u1", ">u2", "f4", "i4"])]
        source = compose_sources(raw[: request.param], axes="zyx")
        assert bool(source.notes) == (request.param > 3)
        return SourceCase(source, np.stack(raw[: min(3, request.param)], -1).astype("f8"))


class TestForeignArray(SourceContract):
    @pytest.fixture
    def case(self):
        class Sliced:
            """As tensorstore and HDF5 do: a shape, a dtype, boxes by slices."""

            def __init__(self, data):
                self.data, self.shape, self.dtype = data, data.shape, data.dtype

            def __getitem__(self, index):
                return self.data[index]

        raw = pixels((3, 70, 90))
        return grey(open_source(Sliced(raw)), raw)
