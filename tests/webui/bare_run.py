"""A run without the code of what controls a video over time, to count against: its layers and windows are written out
here as they are without that, and everything else of it is taken out."""

from contextlib import contextmanager, nullcontext

import torch
from einops import rearrange
from torch.nn import functional

from motion_module.core.denoising import sliding
from motion_module.core.module import layers, norm
from motion_module.core.module.call_frames import CallFrames


def bare_layer(transformer, x, call, level=None):
    """A temporal transformer (docs/behaviour.md 1.2) with effect and motion scale 1; pixels in blocks, as ever."""
    frames = call.frames
    out = transformer.norm(x).contiguous()
    source, target = (layers._per_pixel(of, x.shape[0] // frames) for of in (x.contiguous(), out))
    for block in layers._blocks(source, transformer.heads):
        inner = transformer.proj_in(target[block].flatten(0, 1).contiguous())
        for part in transformer.transformer_blocks:
            for before, attention in zip(part.norms, part.attention_blocks, strict=True):
                inner = inner + _attended(attention, before(inner))
            inner = inner + part.ff(part.ff_norm(inner))
        added = transformer.proj_out(inner).view(target[block].shape)
        torch.add(source[block], added, out=target[block])
    return out


def _attended(attention, x):
    pixels, frames, width = x.shape
    x = x + attention.pos_encoder.pe[0, :frames]
    q, k, v = (
        part(x).view(pixels, frames, attention.heads, -1).transpose(1, 2)
        for part in (attention.to_q, attention.to_k, attention.to_v)
    )
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return attention.to_out[0](mixed.transpose(1, 2).reshape(pixels, frames, width))


def _bare_norm(call, per_frame):
    def forward(x):
        together = rearrange(x, "(b f) c h w -> b c f h w", f=call.frames)
        return rearrange(per_frame(together), "b c f h w -> (b f) c h w")

    return forward


def _bare_call(self, given, model=None):
    with self.call.running(given.of.frames), self.around_call(given.of):
        return self.call_model(given.x, given.t, given.cond)


@contextmanager
def bare(monkeypatch):
    """Inside the block no run does anything over time but windows and prompts; another field of it is not looked at."""
    from motion_module.params import VideoParams
    from motion_module.webui.output import kept_latents
    from motion_module.webui.run import methods
    from motion_module.webui.sampling import loan, lora_travel, scope
    from motion_module.webui.sampling.init_pictures import Pictures

    def nothing(*args, **kwargs):
        return nullcontext()

    gone = [
        *((scope, name, nothing) for name in ("freezing", "guiding", "stretching")),
        (methods, "noting", nothing),
        (lora_travel, "adding", nothing),
        (lora_travel, "told_to_host", lambda data, travels: data),
        (kept_latents, "note", nothing),
        (kept_latents, "write", nothing),
        (loan.Loan, "_acts", lambda self, params: True),
        (layers.TemporalTransformer, "forward", bare_layer),
        (layers.LentLayer, "forward", layers.MotionModule.forward),
        (norm, "_over_frames", _bare_norm),
        (CallFrames, "rest", nothing),
        (sliding.SlidingModel, "_make", _bare_call),
        (sliding.Wanted, "of", lambda self, windows: windows),
        (sliding._Blend, "result", lambda self, whole=True: (self.total / self.weight).to(self.dtype)),
        (Pictures, "_masked_ends", lambda self, p: {}),
        (Pictures, "_of_clip", lambda self, width, height: {}),
        (Pictures, "freeze", False),
        (VideoParams, "values_of", lambda self, name, frames: []),
        (VideoParams, "effect_levels", lambda self, levels: ()),
    ]
    with monkeypatch.context() as patches:
        for owner, name, instead in gone:
            patches.setattr(owner, name, instead)
        yield
