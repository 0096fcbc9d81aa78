"""Classifier-free guidance: one denoiser call for all images, their `AND` parts and their negative prompts.

Rows of a call: for each image each part of its prompt, then one uncond row for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from modules import prompt_parser, sd_samplers_common, shared
from modules.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    cfg_after_cfg_callback,
    cfg_denoised_callback,
    cfg_denoiser_callback,
)

PartsOfImage = list[tuple[int, float]]


def catenate_conds(conds: Sequence[Any]) -> Any:
    """One conditioning below the other: tensors, or dicts of tensors."""
    if isinstance(conds[0], dict):
        return {key: torch.cat([cond[key] for cond in conds]) for key in conds[0]}
    return torch.cat(list(conds))


def subscript_cond(cond: Any, a: int, b: int) -> Any:
    """Rows a..b of a tensor or a dict of tensors."""
    return {key: value[a:b] for key, value in cond.items()} if isinstance(cond, dict) else cond[a:b]


def _crossattn(cond: Any) -> torch.Tensor:
    return cond["crossattn"] if isinstance(cond, dict) else cond


def _with_crossattn(cond: Any, crossattn: torch.Tensor) -> Any:
    if isinstance(cond, dict):
        return prompt_parser.DictWithShape({**cond, "crossattn": crossattn})
    return crossattn


def pad_cond(tensor: Any, repeats: int, empty: torch.Tensor) -> Any:
    """Appends the empty prompt's conditioning (1, 77, width) `repeats` times to every row."""
    own = _crossattn(tensor)
    return _with_crossattn(tensor, torch.cat([own, empty.repeat(own.shape[0], repeats, 1)], dim=1))


class CFGDenoiser(torch.nn.Module):
    """Denoises with a prompt and a negative prompt; the difference of the two, times the CFG scale, is the result.

    Attributes:
        sampler, p: the sampler and the job it serves.
        step: calls so far; `steps` of the user, `total_steps` expected calls.
        mask, nmask, init_latent: inpainting, or None; nmask is 1 where the picture is to change.
        mask_before_denoising: whether the original is put back before the call (its noise is known) or after it.
        need_last_noise_uncond: keep uncond's output in `last_noise_uncond` (CFG++).
        cond_scale_miltiplier: multiplies the CFG scale (CFG++); spelt as in the WebUI.
    """

    def __init__(self, sampler: Any) -> None:
        super().__init__()
        self.sampler = sampler
        self.model_wrap: Any = None
        self.p: Any = None
        self.mask: torch.Tensor | None = None
        self.nmask: torch.Tensor | None = None
        self.init_latent: torch.Tensor | None = None
        self.steps: Any = None  # numbers while it samples
        self.total_steps: Any = None
        self.step = 0
        self.image_cfg_scale: float | None = None
        self.padded_cond_uncond = False
        self.padded_cond_uncond_v0 = False
        self.cond_scale_miltiplier = 1.0
        self.need_last_noise_uncond = False
        self.last_noise_uncond: torch.Tensor | None = None
        self.mask_before_denoising = False

    @property
    def inner_model(self) -> Any:
        """The wrapped model, called as `inner_model(x, sigma, cond=...)`."""
        raise NotImplementedError

    def combine_denoised(
        self, x_out: torch.Tensor, conds_list: Sequence[PartsOfImage], uncond: Any, cond_scale: float
    ) -> torch.Tensor:
        """Guides: uncond plus each part's difference from it, times its weight and the CFG scale."""
        of_uncond = x_out[-_crossattn(uncond).shape[0] :]
        denoised = of_uncond.clone()
        for image, parts in enumerate(conds_list):
            for row, weight in parts:
                denoised[image] += (x_out[row] - of_uncond[image]) * (weight * cond_scale)
        return denoised

    def get_pred_x0(self, x_in: torch.Tensor, x_out: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The picture (as latents) that an output stands for; k-diffusion's denoisers give it already."""
        return x_out

    def update_inner_model(self) -> None:
        """Takes the model and the prompts of the job anew, after the checkpoint has changed."""
        self.model_wrap = None
        cond, uncond = self.p.get_conds()
        self.sampler.sampler_extra_args["cond"] = cond
        self.sampler.sampler_extra_args["uncond"] = uncond

    def pad_cond_uncond(self, cond: Any, uncond: Any) -> tuple[Any, Any]:
        """Makes the shorter of the two as long as the other by empty prompts."""
        empty = shared.sd_model.cond_stage_model_empty_prompt
        difference = (_crossattn(cond).shape[1] - _crossattn(uncond).shape[1]) // empty.shape[1]
        self.padded_cond_uncond = difference != 0
        if difference < 0:
            return pad_cond(cond, -difference, empty), uncond
        return cond, pad_cond(uncond, difference, empty) if difference else uncond

    def pad_cond_uncond_v0(self, cond: Any, uncond: Any) -> tuple[Any, Any]:
        """Makes uncond as long as cond: cuts it off, or repeats its last vector (as DDIM did before 1.6.0)."""
        length, own = _crossattn(cond).shape[1], _crossattn(uncond)
        missing = length - own.shape[1]
        self.padded_cond_uncond_v0 = missing != 0
        longer = torch.cat([own, own[:, -1:].repeat(1, max(missing, 0), 1)], dim=1)
        return cond, _with_crossattn(uncond, longer[:, :length])

    def forward(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        uncond: Any,
        cond: Any,
        cond_scale: float,
        s_min_uncond: float,
        image_cond: torch.Tensor,
    ) -> torch.Tensor:
        """One guided call.

        Args:
            x: noised latents, (images, c, h, w); sigma: their noise level or timestep, (images,).
            uncond, cond: schedules of the prompts, see prompt_parser.
            cond_scale: CFG scale; s_min_uncond: uncond may be left out below this sigma (NGMS), 0 = never.
            image_cond: (images, ...), what an inpainting model is given beside the latents.

        Raises:
            InterruptedException: the person has asked to stop.
        """
        if shared.state.interrupted or shared.state.skipped:
            raise sd_samplers_common.InterruptedException
        if sd_samplers_common.apply_refiner(self, sigma):
            cond = self.sampler.sampler_extra_args["cond"]
            uncond = self.sampler.sampler_extra_args["uncond"]
        conds_list, text_cond = prompt_parser.reconstruct_multicond_batch(cond, self.step)
        text_uncond = prompt_parser.reconstruct_cond_batch(uncond, self.step)
        if self.mask_before_denoising and self.mask is not None:
            x = self._blend(x, sigma)

        rows = self._rows(x, sigma, image_cond, conds_list, text_cond, text_uncond)
        text_uncond = rows.text_uncond
        skip = self._skips_uncond(sigma, s_min_uncond)
        x_out = self._denoise(rows, len(conds_list), skip)
        first_parts = [parts[0][0] for parts in conds_list]
        if skip:
            x_out = torch.cat([x_out, x_out[first_parts]])  # the prompt's own output stands in uncond's place
        self._tell_denoised(x_out)
        if self.need_last_noise_uncond:
            self.last_noise_uncond = x_out[-_crossattn(text_uncond).shape[0] :].clone()
        scale = 1.0 if skip else cond_scale * self.cond_scale_miltiplier
        denoised = self.combine_denoised(x_out, conds_list, text_uncond, scale)
        if not self.mask_before_denoising and self.mask is not None:
            denoised = self._blend(denoised, sigma)
        self._store_preview(rows.x, x_out, denoised, first_parts, sigma)
        self.step += 1
        return self._after_cfg(denoised)

    def _blend(self, latent: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """Puts the original back where the mask keeps it; scripts may do it in another way."""
        blended = latent * self.nmask + self.init_latent * self.mask
        if self.p.scripts is None:
            return blended
        from modules import scripts

        args = scripts.MaskBlendArgs(
            latent, self.nmask, self.init_latent, self.mask, blended, denoiser=self, sigma=sigma
        )
        self.p.scripts.on_mask_blend(self.p, args)
        return args.blended_latent

    def _rows(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        image_cond: torch.Tensor,
        conds_list: Sequence[PartsOfImage],
        text_cond: Any,
        text_uncond: Any,
    ) -> Any:
        """The rows of the call, as scripts have left them: a CFGDenoiserParams."""
        images = [image for image, parts in enumerate(conds_list) for _ in parts]
        order = torch.tensor(images + list(range(len(conds_list))), device=x.device)
        params = CFGDenoiserParams(
            x[order],
            image_cond[order],
            sigma[order],
            shared.state.sampling_step,
            shared.state.sampling_steps,
            text_cond,
            text_uncond,
            self,
        )
        cfg_denoiser_callback(params)
        return params

    def _skips_uncond(self, sigma: torch.Tensor, s_min_uncond: float) -> bool:
        """Whether this call does without uncond: early in the run, or (NGMS) when there is little noise left."""
        opts, notes = shared.opts, self.p.extra_generation_params
        early = opts.skip_early_cond
        if early != 0.0 and self.step / self.total_steps <= early:
            notes["Skip Early CFG"] = early
            return True
        if s_min_uncond <= 0 or sigma[0] >= s_min_uncond or not (self.step % 2 or opts.s_min_uncond_all):
            return False
        notes["NGMS"] = s_min_uncond
        if opts.s_min_uncond_all:
            notes["NGMS all steps"] = True
        return True

    def _padded(self, cond: Any, uncond: Any) -> tuple[Any, Any]:
        self.padded_cond_uncond = self.padded_cond_uncond_v0 = False
        if _crossattn(cond).shape[1] != _crossattn(uncond).shape[1]:
            if shared.opts.pad_cond_uncond_v0:
                return self.pad_cond_uncond_v0(cond, uncond)
            if shared.opts.pad_cond_uncond:
                return self.pad_cond_uncond(cond, uncond)
        return cond, uncond

    def _denoise(self, rows: Any, images: int, skip_uncond: bool) -> torch.Tensor:
        """Calls the model on the rows: at once, in slices, or cond and uncond apart where their lengths differ."""
        x = rows.x[:-images] if skip_uncond else rows.x
        cond, uncond = self._padded(rows.text_cond, rows.text_uncond)
        together = shared.opts.batch_cond_uncond
        if skip_uncond or _crossattn(cond).shape[1] == _crossattn(uncond).shape[1]:
            text = cond if skip_uncond else catenate_conds([cond, uncond])
            size = x.shape[0] if together else images
            return self._in_slices(rows, x, text, 0, size)
        of_cond = x.shape[0] - images
        size = images * 2 if together else images
        return torch.cat(
            [
                self._in_slices(rows, x[:of_cond], cond, 0, size),
                self._in_slices(rows, x[of_cond:], uncond, of_cond, images),
            ]
        )

    def _in_slices(self, rows: Any, x: torch.Tensor, text: Any, offset: int, size: int) -> torch.Tensor:
        """Calls the model on `size` rows at a time; row i of `x` and `text` is row `offset + i` of the call."""
        outputs = []
        for a in range(0, x.shape[0], size):
            b = min(a + size, x.shape[0])
            sigma, image_cond = rows.sigma[offset + a : offset + b], rows.image_cond[offset + a : offset + b]
            cond = self._condition(subscript_cond(text, a, b), image_cond)
            outputs.append(self.inner_model(x[a:b], sigma, cond=cond))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    @staticmethod
    def _condition(text: Any, image_cond: torch.Tensor) -> dict[str, Any]:
        """What `apply_model` takes: SDXL's dict goes in as it is."""
        if isinstance(text, dict):
            return {**text, "c_concat": [image_cond]}
        return {"c_crossattn": [text], "c_concat": [image_cond]}

    def _tell_denoised(self, x_out: torch.Tensor) -> None:
        state = shared.state
        cfg_denoised_callback(CFGDenoisedParams(x_out, state.sampling_step, state.sampling_steps, self.inner_model))

    def _store_preview(
        self,
        x_in: torch.Tensor,
        x_out: torch.Tensor,
        denoised: torch.Tensor,
        first_parts: list[int],
        sigma: torch.Tensor,
    ) -> None:
        """Keeps the estimate an interrupt would leave, and gives the progress display what the settings ask for."""
        images = len(first_parts)
        self.sampler.last_latent = self.get_pred_x0(x_in[first_parts], x_out[first_parts], sigma)
        content = shared.opts.live_preview_content
        if content == "Prompt":
            preview = self.sampler.last_latent
        elif content == "Negative prompt":
            preview = self.get_pred_x0(x_in[-images:], x_out[-images:], sigma)
        else:
            preview = self.get_pred_x0(x_in[first_parts], denoised, sigma)
        sd_samplers_common.store_latent(preview)

    @staticmethod
    def _after_cfg(denoised: torch.Tensor) -> torch.Tensor:
        params = AfterCFGCallbackParams(denoised, shared.state.sampling_step, shared.state.sampling_steps)
        cfg_after_cfg_callback(params)
        return params.x
