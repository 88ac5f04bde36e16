"""In what two plans differ, in words for people."""

from __future__ import annotations

from napari_ditto.core.run_plan import Plan


def differences(old: Plan, new: Plan) -> str:
    """Return what differs, ``"model (classic), planes"``; ``""`` if nothing does.

    What examples have taught is not compared: it is known only once they have been learnt.
    """
    told = {
        "image": (old.axes, old.shape) != (new.axes, new.shape),
        "intensities": old.source.window != new.source.window,
        f"model ({old.model.name})": old.model.key != new.model.key,
        _task(old): _what(old) != _what(new),
        "size or score": old.task.kind == new.task.kind == "all"
        and old.task.settings != new.task.settings,
        "axes on show": old.displayed != new.displayed,
        "planes": old.planes != new.planes,
        "part": (old.region, old.mask) != (new.region, new.mask),
        "joining": old.join != new.join,
        "empty tiles": old.empty_below != new.empty_below,
        "tile size": (old.window, old.halo) != (new.window, new.halo),
    }
    return ", ".join(name for name, differs in told.items() if differs)


def _what(plan: Plan) -> tuple[str, bool]:
    return plan.task.kind, plan.task.instances


def _task(plan: Plan) -> str:
    return "what is looked for (everything)" if plan.task.kind == "all" else "what is looked for"
