"""Write the averaged weights of a run as the float16 file that is shipped.

``python -m training.export --run RUN`` writes ``src/napari_ditto/models/ditto/weights.safetensors``
and ``weights.json``, which says its hash.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from napari_ditto.models.ditto.network import DittoNetwork
from napari_ditto.models.ditto.weights import FORMAT, WEIGHTS


def export(checkpoint: Path, target: Path) -> None:
    """Write the averaged weights of a checkpoint as float16, and a card with their hash."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = DittoNetwork()
    network.load_state_dict(saved["average"])
    weights = {k: v.half().contiguous() for k, v in network.state_dict().items()}
    save_file(weights, target, {"steps": str(saved["step"]), "format": FORMAT})
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    card = {"sha256": digest, "format": FORMAT, "steps": saved["step"]}
    target.with_suffix(".json").write_text(json.dumps(card) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    export(arguments.run / "calibrated.pt", arguments.out)
    print(arguments.out, arguments.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
