"""Work beside the loop is done in order, in a thread; what it raises arrives."""

import threading

import pytest

from napari_ditto.core.jobs import drain
from napari_ditto.engine.foresight import Foresight, wait_steps


def test_work_is_done_in_order_and_elsewhere():
    ahead, done = Foresight(), []
    first = ahead.begin(lambda: done.append(threading.get_ident()))
    second = ahead.begin(lambda: len(done))
    assert drain(wait_steps(second)) == 1
    drain(wait_steps(first))
    assert done[0] != threading.get_ident()


def test_waiting_is_a_place_to_cancel():
    ahead, go, done = Foresight(), threading.Event(), []
    busy = ahead.begin(go.wait)
    steps = wait_steps(ahead.begin(lambda: done.append(1)))
    assert next(steps).stage == "encode"
    steps.close()
    go.set()
    drain(wait_steps(busy))
    drain(wait_steps(ahead.begin(lambda: None)))
    assert not done


def test_an_error_arrives_where_the_result_is_wanted():
    def fail():
        raise TimeoutError("the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        drain(wait_steps(Foresight().begin(fail)))
