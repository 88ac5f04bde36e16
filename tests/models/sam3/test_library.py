"""Instances equal those of the library's own processor, model and postprocessing."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from transformers import CLIPTokenizer, Sam3Processor
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling

from napari_ditto.core.prompts import BoxPrompt, PromptSet
from napari_ditto.errors import ModelError
from napari_ditto.models.registry import load_model
from napari_ditto.testing.small_sam3 import SIZE, make_words

modeling_sam3 = import_module("transformers.models.sam3.modeling_sam3")


class Pil(PilBackend):
    """The image processor without torchvision, which its own class insists on."""

    resample = PILImageResampling.BILINEAR
    size = {"height": SIZE, "width": SIZE}  # noqa: RUF012  # as the library wants it
    image_mean = image_std = (0.5, 0.5, 0.5)
    do_resize = do_rescale = do_normalize = do_convert_rgb = True

    def __call__(self, images, segmentation_maps=None, **kwargs):
        made = super().__call__(images, **kwargs)
        made["original_sizes"] = [images.shape[:2]]
        return made


def library_function(name):
    """Return a function of the library's image processor, whose module needs torchvision."""
    folder = Path(transformers.__file__).parent / "models" / "sam3"
    tree = ast.parse((folder / "image_processing_sam3.py").read_text())
    wanted = {name, "_scale_boxes"}
    found = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name in wanted]
    space = {"torch": torch, "Union": None, "Optional": None}
    for function in found:
        function.decorator_list, function.returns = [], None
        for argument in (*function.args.args, *function.args.kwonlyargs):
            argument.annotation = None
        exec(compile(ast.Module([function], []), name, "exec"), space)  # noqa: S102
    return space[name]


@pytest.fixture(scope="module")
def processor():
    vocabulary, merges = make_words()
    return Sam3Processor(Pil(), CLIPTokenizer(vocab=vocabulary, merges=merges))


@pytest.fixture(scope="module", params=["sam3_folder", "sam3_published"])
def model(request):
    return load_model(f"sam3:{request.getfixturevalue(request.param)}", device="cpu")


def ask_library(processor, network, tile, prepared=None, threshold=0.1, **asked):
    pixels = np.rint(tile * 255).astype(np.uint8)
    inputs = processor(images=pixels, return_tensors="pt", **asked)
    inputs.pop("original_sizes")
    if prepared is not None:
        inputs["pixel_values"] = torch.from_numpy(prepared)[None]
    with torch.no_grad():
        out = network(**inputs)
    finish = library_function("post_process_instance_segmentation")
    return finish(None, out, threshold, 0.5, [tile.shape[:2]])[0]


@pytest.mark.parametrize("text", ["nucleus", "red cell", "nuclei, unseen Words 3!"])
@pytest.mark.parametrize("shape", [(SIZE, SIZE), (90, 60)])
def test_a_name_finds_what_the_library_finds(model, sam3_network, processor, tile, text, shape):
    image = tile(*shape)
    prepared = None
    if shape != (SIZE, SIZE):  # its own processor needs torchvision to resize
        from napari_ditto.models.stretched import stretch

        prepared = stretch(image, model._canvas)
    expected = ask_library(processor, sam3_network, image, prepared, text=text)
    embedding = model.encode(image[None])[0]
    suggested = model.suggest_text(embedding, text)
    assert len(suggested) == len(expected["scores"]) > 3
    assert len({tuple(np.round(b, 3)) for b in expected["boxes"].numpy()}) > 3

    answer = model.decode(embedding, suggested)
    order = expected["scores"].argsort(descending=True, stable=True)
    np.testing.assert_allclose(answer.scores[:, 0], expected["scores"][order], atol=1e-5)
    masks = expected["masks"][order].numpy().astype(bool)
    assert masks.any(axis=(1, 2)).sum() > 3
    differ = (answer.logits[:, 0] > 0) ^ masks
    assert differ.mean() < 1e-4
    for prompts, box in zip(suggested, expected["boxes"][order].numpy(), strict=True):
        found = prompts.box
        edges = np.array([found.x0, found.y0, found.x1, found.y1]) + 0.5
        np.testing.assert_allclose(edges, box, atol=1e-3)


def pool(features, boxes, size):
    """A stand-in for torchvision's pooling: the nearest pixel to the middle of each cell."""
    rows = []
    for image, found in zip(features, boxes, strict=True):
        for x0, y0, x1, y1 in found.tolist():
            y, x = (
                (low + (torch.arange(size) + 0.5) * (high - low) / size).long().clamp(0, most - 1)
                for low, high, most in zip((y0, x0), (y1, x1), image.shape[1:], strict=True)
            )
            rows.append(image[:, y][:, :, x])
    return torch.stack(rows)


@pytest.fixture
def torchvision(monkeypatch):
    stand_in = SimpleNamespace(ops=SimpleNamespace(roi_align=pool))
    monkeypatch.setattr(modeling_sam3, "torchvision", stand_in, raising=False)


@pytest.mark.usefixtures("torchvision")
def test_a_box_is_an_example_as_for_the_library(model, sam3_network, processor, tile):
    image = tile(SIZE, SIZE)
    box = BoxPrompt(19.5, 9.5, 59.5, 49.5)  # edges in pixels: rows 20 to 59, columns 10 to 49
    expected = ask_library(
        processor, sam3_network, image, threshold=0.0, input_boxes=[[[10.0, 20.0, 50.0, 60.0]]]
    )
    found = model._find(model.encode(image[None])[0], ("", box))
    order = expected["scores"].argsort(descending=True, stable=True)[: len(found.scores)]
    np.testing.assert_allclose(found.scores, expected["scores"][order], atol=1e-5)
    np.testing.assert_allclose(
        found.boxes[:, [1, 0, 3, 2]] + 0.5, expected["boxes"][order], atol=1e-3
    )
    assert len(found.scores) > 3


def test_an_example_without_torchvision_is_one_line(model, tile, monkeypatch):
    monkeypatch.delattr(modeling_sam3, "torchvision", raising=False)
    embedding = model.encode(tile(SIZE, SIZE)[None])[0]
    with pytest.raises(ModelError, match="only with torchvision") as caught:
        model.decode(embedding, [PromptSet(box=BoxPrompt(10, 10, 40, 40))])
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("torchvision")
def test_an_example_and_a_name_are_two_questions(model, tile):
    embedding = model.encode(tile(SIZE, SIZE)[None])[0]
    box = model.suggest_text(embedding, "cell")[0].box
    named, shown = (
        model.decode(embedding, [PromptSet(box=box, text=text)]) for text in ("cell", "")
    )
    assert not np.allclose(named.scores, shown.scores)
