"""The result of a run."""

import json
from typing import Any

from modules.processing_infotext import create_infotext, program_version
from modules.shared import opts, state

IN_JSON = (
    "prompt",
    "all_prompts",
    "negative_prompt",
    "all_negative_prompts",
    "seed",
    "all_seeds",
    "subseed",
    "all_subseeds",
    "subseed_strength",
    "width",
    "height",
    "sampler_name",
    "cfg_scale",
    "steps",
    "batch_size",
    "restore_faces",
    "face_restoration_model",
    "sd_model_name",
    "sd_model_hash",
    "sd_vae_name",
    "sd_vae_hash",
    "seed_resize_from_w",
    "seed_resize_from_h",
    "denoising_strength",
    "extra_generation_params",
    "index_of_first_image",
    "infotexts",
    "styles",
    "job_timestamp",
    "clip_skip",
    "is_using_inpainting_conditioning",
    "version",
)

TAKEN_OVER = (
    "subseed_strength",
    "width",
    "height",
    "sampler_name",
    "cfg_scale",
    "steps",
    "batch_size",
    "restore_faces",
    "sd_model_name",
    "sd_model_hash",
    "sd_vae_name",
    "sd_vae_hash",
    "seed_resize_from_w",
    "seed_resize_from_h",
    "denoising_strength",
    "extra_generation_params",
    "styles",
    "token_merging_ratio",
    "token_merging_ratio_hr",
    "eta",
    "ddim_discretize",
    "s_churn",
    "s_tmin",
    "s_tmax",
    "s_noise",
    "s_min_uncond",
    "sampler_noise_scheduler_override",
    "is_using_inpainting_conditioning",
)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _seed(value: Any) -> int:
    return -1 if value is None else int(_first(value))


class Processed:
    """Pictures and what they were made from; a grid, if there is one, comes before `images[index_of_first_image]`."""

    extra_generation_params: dict[str, Any]

    def __init__(
        self,
        p: Any,
        images_list: list[Any],
        seed: Any = -1,
        info: str = "",
        subseed: Any = None,
        all_prompts: list[str] | None = None,
        all_negative_prompts: list[str] | None = None,
        all_seeds: list[int] | None = None,
        all_subseeds: list[int] | None = None,
        index_of_first_image: int = 0,
        infotexts: list[str] | None = None,
        comments: str = "",
    ) -> None:
        for name in TAKEN_OVER:
            setattr(self, name, getattr(p, name))
        self.images = images_list
        self.info = info
        self.infotexts = infotexts or [info] * len(images_list)
        self.index_of_first_image = index_of_first_image
        self.comments = "".join(f"{comment}\n" for comment in p.comments)
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.face_restoration_model = opts.face_restoration_model if p.restore_faces else None
        self.job_timestamp = state.job_timestamp
        self.clip_skip = opts.CLIP_stop_at_last_layers
        self.version = program_version()
        self.prompt = _first(p.prompt)
        self.negative_prompt = _first(p.negative_prompt)
        self.seed = _seed(seed)
        self.subseed = _seed(subseed)
        self.all_prompts = all_prompts or p.all_prompts or [self.prompt]
        self.all_negative_prompts = all_negative_prompts or p.all_negative_prompts or [self.negative_prompt]
        self.all_seeds = all_seeds or p.all_seeds or [self.seed]
        self.all_subseeds = all_subseeds or p.all_subseeds or [self.subseed]

    def js(self) -> str:
        """The result without pictures as JSON; what JSON cannot say becomes null."""
        told = {name: getattr(self, name) for name in IN_JSON}
        told |= {"prompt": self.all_prompts[0], "negative_prompt": self.all_negative_prompts[0]}
        return json.dumps(told, default=lambda value: None)

    def infotext(self, p: Any, index: int) -> str:
        """The infotext of one picture."""
        position, batch = index % self.batch_size, index // self.batch_size
        return create_infotext(
            p,
            self.all_prompts,
            self.all_seeds,
            self.all_subseeds,
            comments=[],
            position_in_batch=position,
            iteration=batch,
        )

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """The ratio that was asked for in the first or the hires pass."""
        return self.token_merging_ratio_hr if for_hr else self.token_merging_ratio
