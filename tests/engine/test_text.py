"""Things found by their name: every one of that name, each once and whole, and no other."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from napari_ditto.core.geometry import Box
from napari_ditto.core.prompts import BoxPrompt, Frame, PointPrompt, PromptSet
from napari_ditto.core.routing import MAX_TEXT, check_prompts, check_text, to_tile, translate
from napari_ditto.core.synthetic import blobs
from napari_ditto.engine.annotator import Annotator
from napari_ditto.engine.candidates import Settings
from napari_ditto.engine.everything import segment_all
from napari_ditto.engine.whole.segmenter import all_task, segmenter_for
from napari_ditto.errors import ModelError, PromptError
from napari_ditto.models.protocols import TextModel
from napari_ditto.testing.fakes import CountingModel, NamingModel, PerfectModel
from napari_ditto.testing.scenes import disc, truth_source
from tests.engine.test_everything import assert_same_objects


def named(truth):
    """Return a model for which every third object is a nucleus."""
    ids = [i for i in np.unique(truth).tolist() if i]
    return NamingModel({i: "nucleus" if i % 3 == 0 else "cell" for i in ids})


def test_only_what_has_the_name_is_found_over_many_tiles():
    truth = blobs((150, 203), 40, radius=9, seed=1)
    model = named(truth)
    found = segment_all(truth_source(truth), model, text=" nucleus ", min_area=1)
    assert_same_objects(found, np.where(truth % 3 == 0, truth, 0))
    assert not segment_all(truth_source(truth), model, text="mitochondrion").any()
    assert_same_objects(segment_all(truth_source(truth), model, min_area=1), truth)


def test_a_whole_image_is_searched_for_a_name_and_resumed(tmp_path):
    truth = blobs((150, 203), 40, radius=9, seed=1)
    source, model, out = truth_source(truth), named(truth), tmp_path / "labels.zarr"
    found = segment_all(source, model, text="nucleus", min_area=1, out=out)
    wanted = np.where(truth % 3 == 0, truth, 0)
    assert_same_objects(np.asarray(found), wanted)
    again = segment_all(source, model, text="nucleus", min_area=1, out=out, resume=True)
    assert_same_objects(np.asarray(again), wanted)


def test_a_named_object_larger_than_a_tile_is_whole():
    truth = np.zeros((200, 260), np.uint8)
    truth[disc(truth.shape, (100, 100), 70)] = 3
    truth[150:190, 180:250] = 2
    found = segment_all(truth_source(truth), named(truth), text="nucleus")
    np.testing.assert_array_equal(found, truth == 3)


def test_a_click_with_a_name_is_answered():
    truth = blobs((80, 90), 12, radius=8, seed=3)
    y, x = np.argwhere(truth == 5)[0]
    model = CountingModel(named(truth))
    proposals = Annotator(truth_source(truth), model).predict(points=[(y, x)], text="nucleus")
    assert model.asked[0].text == proposals.prompts.text == "nucleus"


def test_a_model_without_words_says_so():
    truth = blobs((64, 64), 5, radius=8, seed=0)
    with pytest.raises(ModelError, match="perfect reads no words"):
        segment_all(truth_source(truth), PerfectModel(), text="cell")
    assert not isinstance(PerfectModel(), TextModel)
    assert isinstance(NamingModel({}), TextModel)


class OnlyNames(CountingModel):
    """Hides that the model behind it has suggestions without a name."""

    def suggest_text(self, embedding, text):
        return self.model.suggest_text(embedding, text)


def test_a_model_of_words_alone_asks_for_one():
    truth = blobs((64, 64), 5, radius=8, seed=0)
    with pytest.raises(PromptError, match="Say what to look for"):
        segment_all(truth_source(truth), OnlyNames(named(truth)))
    found = segment_all(truth_source(truth), OnlyNames(named(truth)), text="nucleus")
    assert_same_objects(found, np.where(truth % 3 == 0, truth, 0))


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT + 1), "two\nlines", "a\x00b"])
def test_what_is_no_name_is_refused(text):
    with pytest.raises(PromptError, match="no name of a thing"):
        segment_all(truth_source(np.ones((64, 64), np.uint8)), NamingModel({}), text=text)
    assert check_text("  Zellkern ") == "Zellkern"


def test_names_go_where_prompts_go():
    said = PromptSet((PointPrompt(10, 12),), box=BoxPrompt(5, 5, 20, 20), text="cell")
    assert said.to_frame(Frame((2, 2), (1, 1))).text == "cell"
    assert to_tile(said, Box(0, 0, 30, 30)).text == "cell"
    assert check_prompts(said, (64, 64)).text == "cell"
    assert translate(said, {"points", "text"}).text == "cell"
    assert translate(said, {"points"}).text == ""
    assert not PromptSet(text="cell").is_empty
    assert not PromptSet(text="cell").has_positive


def test_without_a_name_digests_are_what_they_were():
    said = PromptSet((PointPrompt(10, 12),), box=BoxPrompt(5, 5, 20, 20))
    before = "03be2d5896a5d21bfb2d791ae0abdfe52e7ae1013a9c2a77db833b2f109c7cab"
    assert said.digest() == before  # computed before there were names
    assert replace(said, text="cell").digest() != said.digest()
    assert replace(said, text="cell").digest() != replace(said, text="nucleus").digest()


def test_a_plan_without_a_name_is_what_it_was():
    assert "text" not in all_task().settings
    task = all_task(Settings(text="cell"))
    assert task.settings["text"] == "cell"
    assert segmenter_for(task, NamingModel({}), None).settings.text == "cell"
    assert segmenter_for(all_task(), NamingModel({}), None).settings == Settings()
    assert set(asdict(Settings())) - set(all_task().settings) == {"text"}
