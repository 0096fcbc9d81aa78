"""Stand-ins for extensions that move, stack or count the rows of a denoiser call, as those people use do it."""

from contextlib import contextmanager

import torch
from runs import array, frames, make, run, video

TWO = "a cat AND a dog AND grass"
TWICE = "a cat AND a cat"
NOT_TOLD = "cannot tell which of the .* rows of a model call belong to which of the 4 frames: .* Turn that off for this"
KEEP = {"animatediff_alpha_schedule": "as the model"}
SHORT = {"video_length": 4, "batch_size": 16}
LONG = {"video_length": 7, "batch_size": 4}


def still(fields, **request):
    """Frames that nothing joins, with the checkpoint's own noise schedule: those of a plain batch."""
    fields = {**fields, "format": ["Frame"], "effect": 0.0, "model": "mm_tiny_v3.safetensors"}
    return array(run(make(animatediff=video(**fields), override_settings=KEEP, **request)).images)


@contextmanager
def callbacks(**functions):
    """Denoiser callbacks of another extension: name of the host's callback -> function."""
    from modules import script_callbacks

    for name, function in functions.items():
        getattr(script_callbacks, f"on_{name}")(function)
    try:
        yield
    finally:
        for function in functions.values():
            script_callbacks.remove_callbacks_for_function(function)


class Moved:
    """Moves the rows of the prompts before a call, and what came out back after it.

    Args:
        order: (frames, parts) -> for each row of the call the row of the host's order that goes there.
        in_place: whether it writes into the host's tensors or puts others in their place.
    """

    def __init__(self, count, order, in_place=True):
        self.count, self.order, self.in_place = count, order, in_place

    def before(self, params):
        count = self.count
        index = torch.tensor(self.order(count, params.text_cond.shape[0] // count))
        self.back = index.argsort()
        whole = torch.cat([index, torch.arange(len(index), params.x.shape[0])])
        for name, rows in (("x", whole), ("image_cond", whole), ("sigma", whole), ("text_cond", index)):
            moved = getattr(params, name)[rows]
            if self.in_place:
                getattr(params, name)[:] = moved
            else:
                setattr(params, name, moved)

    def after(self, params):
        params.x[: len(self.back)] = params.x[: len(self.back)][self.back]

    def running(self):
        return callbacks(cfg_denoiser=self.before, cfg_denoised=self.after)


def regions_first(count, parts):
    """All frames of the first region, then all of the second: Regional Prompter's Latent mode."""
    return [frame * parts + part for part in range(parts) for frame in range(count)]


def backwards(count, parts):
    return list(reversed(range(count * parts)))


def turned(count, parts):
    """Each frame has its parts in another order than the last one."""
    return [frame * parts + (part + frame) % parts for frame in range(count) for part in range(parts)]


class Tiles:
    """Cuts each call of the model into four tiles, as Tiled Diffusion (Mixture of Diffusers) does.

    Args:
        stack: how the rows of the tiles become one call; None: a call for each tile.
    """

    def __init__(self, monkeypatch, stack=None):
        from modules import sd_samplers

        self.stack = stack
        create = sd_samplers.create_sampler

        def hooked(*args, **kwargs):
            made = create(*args, **kwargs)
            self.hook()
            return made

        monkeypatch.setattr(sd_samplers, "create_sampler", hooked)

    def hook(self):
        from modules import shared

        self.model, self.original = shared.sd_model, shared.sd_model.apply_model
        self.model.apply_model = self.apply_model

    @contextmanager
    def running(self):
        try:
            yield
        finally:
            vars(self.model).pop("apply_model", None)

    def apply_model(self, x, t, cond):
        corners = [(top, left) for top in (0, x.shape[2] // 2) for left in (0, x.shape[3] // 2)]
        parts = [(slice(None), slice(None), slice(a, a + 4), slice(b, b + 4)) for a, b in corners]
        out = torch.zeros_like(x)
        if self.stack is None:
            made = [self.original(x[part], t, cond) for part in parts]
        else:
            text = {key: [self.stack([item] * 4) for item in items] for key, items in cond.items()}
            whole = self.original(self.stack([x[part] for part in parts]), self.stack([t] * 4), text)
            made = self.stack.taken(whole)
        for part, piece in zip(parts, made, strict=True):
            out[part] = piece
        return out


class Blocks:
    """Tile by tile."""

    def __call__(self, tiles):
        return torch.cat(tiles)

    def taken(self, rows):
        return rows.chunk(4)


class Woven:
    """Each row in all its tiles."""

    def __call__(self, tiles):
        return torch.stack(tiles, dim=1).flatten(0, 1)

    def taken(self, rows):
        return rows.unflatten(0, (-1, 4)).unbind(1)


class Shuffled(Blocks):
    """Rows of different tiles in no order at all."""

    def __call__(self, tiles):
        return torch.cat(tiles)[self.order(tiles)]

    def taken(self, rows):
        return rows[self.order(rows).argsort()].chunk(4)

    @staticmethod
    def order(rows):
        count = sum(len(tile) for tile in rows) if isinstance(rows, list) else len(rows)
        return torch.randperm(count, generator=torch.Generator().manual_seed(1))


def tiled(monkeypatch, stack=None, **request):
    with monkeypatch.context() as patch, Tiles(patch, stack).running():
        return frames(**request)


NAMED = """
def denoiser_callback(params):
    params.x.uniform_()

def failing(params):
    raise KeyError("cat-4")

class Guidance:  # keeps what a layer is given, and adds of it to each picture after the call, as self-attention guidance
    def hook(self, layer):
        original = layer.forward

        def forward(x, *args, **kwargs):
            global kept
            kept = x.repeat_interleave(layer.heads, dim=0)
            layer.kept_too = x
            return original(x, *args, **kwargs)

        layer.forward = forward
        self.layer = layer

    def denoised(self, params):
        by_head = kept[..., 0].reshape(params.x.shape[0], self.layer.heads, -1).mean(dim=(1, 2))
        params.x += (by_head + self.layer.kept_too[..., 1].mean(dim=1)).reshape(-1, 1, 1, 1) * 5

class Closed:
    def hook(self, module, batch_size):
        original = module.forward

        def forward(x, *args, **kwargs):
            return original(x, *args, **kwargs) * (1 if x.shape[0] == 2 * batch_size else 2)

        module.forward = forward

    def hook_raising(self, module, rows):
        original = module.forward

        def forward(x, *args, **kwargs):
            return original(x, *args, **kwargs) + x.new_zeros(rows, 1, 1).expand(x.shape[0], -1, -1)

        module.forward = forward

    def hook_with_little_memory(self, module, error):
        def forward(x, *args, **kwargs):
            raise error

        module.forward = forward
"""


def layers_of_texts():
    from modules import shared

    unet = shared.sd_model.model.diffusion_model
    return [module for name, module in unet.named_modules() if name.endswith("attn2")]


@contextmanager
def hooked(hook):
    """Somebody stands in the layers that read the prompts."""
    try:
        for layer in layers_of_texts():
            hook(layer)
        yield
    finally:
        for layer in layers_of_texts():
            vars(layer).pop("forward", None)


class Negative:
    """Counts rows by the host's batch size, and gives the prompts' rows some tokens more, as NegPiP does."""

    def process_batch(self, p, *args, **kwargs):
        self.batch = p.batch_size
        width = layers_of_texts()[0].to_k.in_features
        tokens = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(1))
        self.conds = [tokens.repeat(self.batch, 1, 1)]

    def hook(self, layer):
        original = layer.forward

        def forward(x, context=None, mask=None, **kwargs):
            if x.shape[0] != self.batch * 2:
                return original(x, context=context, mask=mask) * 0.5
            conds, unconds = context.chunk(2)
            rows, others = x.chunk(2)
            longer = torch.cat([conds, self.conds[0]], dim=1)
            return torch.cat([original(rows, context=longer), original(others, context=unconds)])

        layer.forward = forward
