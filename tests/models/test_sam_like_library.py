"""Embeddings and masks equal those of the library's own pipeline, for every family and prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import SamImageProcessorPil, SamProcessor
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling

from napari_ditto.core.prompts import PointPrompt, PromptSet
from napari_ditto.models.prompt_tokens import mask_logits, tokenize
from napari_ditto.models.registry import load_model

FAMILIES = ("sam", "sam_hq", "sam2")
PROMPT_NAMES = (
    *("point", "negative", "points", "box", "box+points"),
    *("mask", "mask+point", "everything", "scribble"),
)
SIZES = [(128, 128), (90, 120), (100, 64), (128, 1), (17, 33)]


class Sam2Pil(PilBackend):
    """The image processor of SAM 2 without torchvision, which its own class insists on."""

    resample = PILImageResampling.BILINEAR
    image_mean, image_std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    size = {"height": 128, "width": 128}  # noqa: RUF012  # as the library wants it
    do_resize = do_rescale = do_normalize = do_convert_rgb = True


def library(family, network, tile, prompts, multimask, prepared=None, size=128):
    """Return what the library's processor, model and postprocessing make of 8-bit pixels.

    `prepared` replaces the pixels that SAM 2's processor would have resized with torchvision.
    """
    pixels = np.rint(tile * 255).astype(np.uint8)
    tokens = tokenize(prompts, tile.shape[:2])
    points = [[tokens.points.tolist()]] if len(tokens.points) else None
    labels = [[tokens.labels.tolist()]] if len(tokens.points) else None
    boxes = [[tokens.box.tolist()]] if tokens.box is not None else None
    if family == "sam2":
        inputs = _sam2_inputs(pixels, points, labels, boxes, size)
        if prepared is not None:
            inputs["pixel_values"] = torch.from_numpy(prepared)[None]
    else:
        processor = SamProcessor(
            SamImageProcessorPil(
                size={"longest_edge": size}, pad_size={"height": size, "width": size}
            )
        )
        inputs = processor(
            images=pixels,
            input_points=points,
            input_labels=labels,
            input_boxes=boxes,
            return_tensors="pt",
        )
    arguments = {
        n: inputs[n]
        for n in ("pixel_values", "input_points", "input_labels", "input_boxes")
        if n in inputs
    }
    if tokens.mask is not None:
        arguments["input_masks"] = _coarse(family, tokens.mask, size // 4)
    with torch.no_grad():
        out = network(**arguments, multimask_output=multimask)
    if family == "sam2":
        masks = torch.nn.functional.interpolate(
            out.pred_masks[0], pixels.shape[:2], mode="bilinear", align_corners=False
        )
    else:
        masks = processor.post_process_masks(
            out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"], binarize=False
        )[0]
    return inputs["pixel_values"], masks[0].numpy(), out.iou_scores[0, 0].numpy()


def _sam2_inputs(pixels, points, labels, boxes, size):
    """What ``Sam2Processor`` does: squash to a square, scale both axes alike."""
    image = Sam2Pil(size={"height": size, "width": size})(pixels, return_tensors="pt")
    scale = np.array([size / pixels.shape[1], size / pixels.shape[0]])
    inputs = {"pixel_values": image["pixel_values"]}
    if points:
        inputs["input_points"] = torch.tensor(np.array(points) * scale, dtype=torch.float32)
        inputs["input_labels"] = torch.tensor(labels)
    if boxes:
        scaled = np.array(boxes) * np.tile(scale, 2)
        inputs["input_boxes"] = torch.tensor(scaled, dtype=torch.float32)
    return inputs


def _coarse(family, mask, side):
    """Average the mask over the cells of the coarse canvas, by another route than ours."""
    longest = max(mask.shape)
    rows, cols = (
        (side, side) if family == "sam2" else (round(n * side / longest) for n in mask.shape)
    )
    full = torch.from_numpy(mask.astype(np.float32))[None, None]
    small = torch.nn.functional.interpolate(full, (rows, cols), mode="bilinear", antialias=True)
    canvas = np.zeros((1, 1, side, side), dtype=np.float32)
    canvas[..., :rows, :cols] = small.numpy()
    return torch.from_numpy(mask_logits(canvas))


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def pair(family, checkpoints, network):
    return load_model(f"{family}:{getattr(checkpoints, family)}", device="cpu"), network(family)


@pytest.mark.parametrize("shape", SIZES)
def test_embeddings_equal(pair, family, tile, shape):
    if family == "sam2" and shape != (128, 128):
        pytest.skip("its own processor needs torchvision to resize; see the next test")
    ours, theirs = pair
    image = tile(*shape)
    pixels, _, _ = library(family, theirs, image, PromptSet((PointPrompt(0, 0),)), True)
    with torch.no_grad():
        expected = theirs.get_image_embeddings(pixels)
    arrays = list(ours.encode(image[None])[0].arrays.values())
    expected = {
        "sam": lambda: [expected[0]],
        "sam_hq": lambda: [expected[0][0], expected[1][0][0]],
        "sam2": lambda: [level[0] for level in expected],
    }[family]()
    assert len(arrays) == len(expected)
    for mine, other in zip(arrays, expected, strict=True):
        assert mine.dtype == np.float32
        assert np.abs(other.numpy()).max() > 0.5  # the comparison is about something
        # Our encoders add up in another order than the library's.
        np.testing.assert_allclose(mine, other.numpy(), atol=1e-4, rtol=1e-5)


def test_sam2_resizes_as_pil_does_within_one_grey_level(checkpoints, tile):
    # With torchvision 0.28 its own processor was run by hand: pixels equal to 3e-7.
    model = load_model(f"sam2:{checkpoints.sam2}", device="cpu")
    image = tile(90, 120)
    theirs = Sam2Pil()(np.rint(image * 255).astype(np.uint8), return_tensors="np")
    ours = model._prepare(image)
    assert np.abs(ours - theirs["pixel_values"][0]).max() <= 1.001 / 255 / 0.224


@pytest.mark.parametrize("prompt", list(PROMPT_NAMES))
@pytest.mark.parametrize("shape", [(128, 128), (90, 120)])
def test_masks_and_scores_equal(pair, family, tile, prompt_sets, prompt, shape):
    ours, theirs = pair
    image, prompts = tile(*shape), prompt_sets[prompt]
    out = ours.decode(ours.encode(image[None])[0], [prompts])
    prepared = ours._prepare(image)
    _, three, ious = library(family, theirs, image, prompts, True, prepared)
    if tokenize(prompts, shape).is_ambiguous:
        expected, scores = three, ious
        assert out.best[0] == ious.argmax()
    else:
        _, single, iou = library(family, theirs, image, prompts, False, prepared)
        order = np.argsort(-ious)[:2]
        expected = np.concatenate([single, three[order]])
        scores = np.concatenate([iou, ious[order]])
        assert out.best[0] == 0
    assert expected.std() > 0.1
    np.testing.assert_allclose(out.logits[0], expected, atol=1e-4 * max(1, np.abs(expected).max()))
    np.testing.assert_allclose(out.scores[0], scores.clip(0, 1), atol=1e-4)
    assert np.mean((out.logits[0] > 0) != (expected > 0)) < 1e-3


@pytest.mark.parametrize("family", ["sam", "sam2"])
def test_the_published_geometry(family, network, tile, prompt_sets, tmp_path):
    """1024 pixels, 64 x 64 patches, coarse masks of 256: only the width is small."""
    theirs = network(family, size=1024)
    theirs.save_pretrained(tmp_path)
    ours = load_model(f"{family}:{tmp_path}", device="cpu")
    image, prompts = tile(700, 1024), prompt_sets["box+points"]
    out = ours.decode(ours.encode(image[None])[0], [prompts])
    prepared = ours._prepare(image)
    _, expected, iou = library(family, theirs, image, prompts, False, prepared, 1024)
    np.testing.assert_allclose(out.logits[0, :1], expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(out.scores[0, 0], iou[0].clip(0, 1), atol=1e-4)
