"""File > Save and drag-and-drop in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest

pytestmark = [pytest.mark.gui, pytest.mark.once]


@pytest.fixture
def viewer(npe2pm, make_napari_viewer_proxy):
    npe2pm.register(PluginManifest.from_distribution("napari-ditto"))
    return make_napari_viewer_proxy()


def labels():
    data = np.zeros((40, 50), np.uint16)
    data[3:10, 4:20], data[20:30, 30:45] = 1, 2
    return data


def test_layers_are_saved_and_opened_again(viewer, tmp_path):
    place = {
        "scale": (0.5, 0.25),
        "translate": (10, 20),
        "units": ("micrometer", "micrometer"),
        "axis_labels": ("y", "x"),
    }
    layer = viewer.add_labels(labels(), name="cells", **place)
    for name in ("a.geojson", "a.zarr"):
        path = tmp_path / name
        assert layer.save(str(path), plugin="napari-ditto") == [str(path)]
        (opened,) = viewer.open(str(path), plugin="napari-ditto")
        np.testing.assert_array_equal(np.asarray(opened.data), labels())
        np.testing.assert_allclose(opened.scale, place["scale"])
        np.testing.assert_allclose(opened.translate, place["translate"])
        assert [str(unit) for unit in opened.units] == ["micrometer"] * 2
        np.testing.assert_allclose(opened.extent.world, layer.extent.world)
    layer.save(str(tmp_path / "a.json"))  # no other plugin writes labels so
    viewer.layers.save(str(tmp_path / "b.tif"), plugin="napari-ditto", selected=True)
    assert tifffile.imread(tmp_path / "b.tif").shape == (40, 50)


def test_the_row_shows_how_far_an_export_is(qtbot):
    from napari_ditto.ui.export.part import ExportState
    from napari_ditto.ui.widgets.export_row import ExportRow

    row = ExportRow()
    qtbot.addWidget(row)
    row.show()
    assert row.button.isEnabled()
    assert not row.stop.isVisible()
    told = []
    row.acted.connect(told.append)
    row.chose.connect(lambda field, _: told.append(field))
    row.button.click()
    row.show_state(ExportState(busy=True, text="a.gpkg: object 3 of 10", fraction=0.3))
    assert not row.button.isEnabled()
    assert row.bar.value() == 0.3 * row.bar.maximum()
    row.stop.click()
    row.show_state(ExportState(text="the disk is full", failed=True))
    assert row.text.text() == "the disk is full"
    assert told == ["export_labels", "export.stop"]
