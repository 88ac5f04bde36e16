"""The library's own way to follow objects: a session that owns frames, inputs and memories."""

from __future__ import annotations

import numpy as np
import torch
from transformers import Sam2VideoInferenceSession, Sam2VideoProcessor


def processor(size):
    """The library's processor without its image processor, which insists on torchvision."""
    made = Sam2VideoProcessor.__new__(Sam2VideoProcessor)
    made.target_size, made.point_pad_value = size, -10
    return made


class Session:
    """Streams frames through a network, each as (3, size, size), and records what it answers."""

    def __init__(self, network, size, shape, video=None):
        self.network, self.shape = network, shape
        self.processor = processor(size)
        self.state = Sam2VideoInferenceSession(
            video=video, video_height=shape[0], video_width=shape[1], dtype=torch.float32
        )

    def add_masks(self, index, masks):
        ids = list(range(1, len(masks) + 1))
        self.processor.process_new_mask_for_video_frame(self.state, index, ids, list(masks))

    def see(self, pixels=None, index=None, reverse=False):
        """Return logits (n, h, w), IoU estimates and presence (n,) of one frame."""
        heard = []
        hook = self.network.mask_decoder.register_forward_hook(lambda *a: heard.append(a[2]))
        frame = None if pixels is None else torch.from_numpy(pixels)[None]
        out = self.network(self.state, frame=frame, frame_idx=index, reverse=reverse)
        hook.remove()
        logits = torch.nn.functional.interpolate(
            out.pred_masks.float(), self.shape, mode="bilinear", align_corners=False
        )
        scores = np.array([float(scores.max()) for _, scores, _, _ in heard])
        present = out.object_score_logits.sigmoid().flatten().numpy()
        return logits[:, 0].numpy(), scores, present

    def memory(self, index, name, conditioning=False):
        """Return what it keeps of a frame, one row per object."""
        key = "cond_frame_outputs" if conditioning else "non_cond_frame_outputs"
        kept = [
            self.state.output_dict_per_obj[i][key][index] for i in range(self.state.get_obj_num())
        ]
        if name == "pointer":
            return np.stack([k["object_pointer"].flatten().numpy() for k in kept])
        side = int(len(kept[0]["maskmem_features"]) ** 0.5)
        flat = [k["maskmem_features"].float()[:, 0].T.reshape(-1, side, side) for k in kept]
        return np.stack([f.numpy() for f in flat])
