"""Stand-ins for what ControlNet holds while the host samples; they work as 1.1.455 does, on the smallest tensors."""

from collections import namedtuple
from types import SimpleNamespace

import torch

Embeddings = namedtuple("Embeddings", "cond_emb uncond_emb")


class Param:
    """A unit while sampling: forgets what it made of a hint when it gets another one."""

    def __init__(self, hint, kind="ControlNet", high=None, model=None):
        self._hint_cond = hint
        self.hr_hint_cond = high
        self.control_model_type = SimpleNamespace(name=kind)
        self.control_model = model
        self.weight = 1.0
        self.used_hint_cond = None
        self.latent = None  # made from the first hint it sees, as often as the call has rows, and kept

    @property
    def hint_cond(self):
        return self._hint_cond

    @hint_cond.setter
    def hint_cond(self, hint):
        self._hint_cond = hint
        self.used_hint_cond = self.latent = None

    def apply_effective_region_mask(self, out):
        """What it adds comes by here, weighed by the unit's own weight."""
        return out


class Network:
    """Copies the hint into the output, as the host's UNet with ControlNet in front of it would be called.

    x holds the number of its frame in every row; what is seen must be of that frame.
    """

    def __init__(self, param):
        self.param = param
        self.calls = []

    def __call__(self, x, t, cond):
        param = self.param
        if param.used_hint_cond is None:
            param.used_hint_cond = param.hint_cond
            param.latent = None
        if param.hr_hint_cond is not None:
            low, high = (abs(x.shape[2] * 8 - hint.shape[2]) for hint in (param.hint_cond, param.hr_hint_cond))
            used = param.hint_cond if low < high else param.hr_hint_cond
            if used is not param.used_hint_cond:
                param.used_hint_cond, param.latent = used, None
        hint = param.used_hint_cond
        if param.latent is None:
            param.latent = hint if hint.shape[0] == x.shape[0] else torch.cat([hint] * x.shape[0])
        self.calls.append(hint)
        assert param.latent.shape[0] == x.shape[0]
        own = x * 0 + hint.mean(dim=(1, 2, 3), keepdim=True) + 0 * param.latent.mean(dim=(1, 2, 3), keepdim=True)
        return param.apply_effective_region_mask(own * param.weight)


class Adapter:
    """An IP-Adapter: keys and values are made of the embeddings once for each cache."""

    def __init__(self, cond, uncond, outputs=()):
        self.image_emb = Embeddings(cond, uncond)
        self.cache = {}
        self.ipadapter = SimpleNamespace(get_image_emb=lambda output: Embeddings(output, uncond))
        self.outputs = outputs

    def keys(self, mark):
        if "k" not in self.cache:
            emb = self.image_emb
            assert emb.cond_emb.shape[0] in (1, mark.shape[0]) and emb.uncond_emb.shape[0] in (1, emb.cond_emb.shape[0])
            self.cache["k"] = emb.cond_emb * mark + emb.uncond_emb * (1 - mark)
        assert self.cache["k"].shape[0] == mark.shape[0]
        return self.cache["k"]

    def apply_effective_region_mask(self, out):
        """What it adds to the attention comes by here, weighed by the unit's own weight: (rows, pixels, width)."""
        return out


class LiteModule:
    """A module of a Control-LLLite, which repeats its picture up to the rows of the call."""

    def __init__(self, image):
        self.set_cond_image(image)

    def set_cond_image(self, image):
        self.cond_image, self.cond_emb = image, None

    def see(self, x):
        if self.cond_emb is None:
            self.cond_emb = self.cond_image.mean(dim=(1, 2, 3), keepdim=True)
        return self.cond_emb.repeat(x.shape[0] // self.cond_emb.shape[0], 1, 1, 1) + 0 * x

    def forward(self, x):
        """What it adds to x: (rows, tokens, width) of a linear layer, (rows, c, h, w) of a convolution."""
        return self.see(x) if x.dim() == 4 else self.see(x[..., None])[..., 0]
