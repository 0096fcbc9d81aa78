"""A long video of the bundled model, from prompt to file: `python tests/quality/many_frames.py --frames 1000 --steps 4`.

Prints how long it took, the peak of memory and how many frames are in the file, and writes them as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import SAMPLER, SCALE, Host


def main(argv: list[str]) -> int:
    """Makes the video and says what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as data:
        Host(Path(data))
        found = made(args.frames, args.steps)
    print(json.dumps(found, indent=1))
    if args.json:
        args.json.write_text(json.dumps(found), encoding="utf-8")
    return 0


def made(frames: int, steps: int) -> dict[str, Any]:
    """One video; what it took, and what came out."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parents[1] / "webui"))
    from http_client import mp4_frames
    from runs import array, make, run, video

    before, started = peak(), time.perf_counter()
    fields = video(model="pocket_mm_v2.safetensors", video_length=frames, format=["MP4", "Frame"])
    request = {"prompt": "a red circle moving right, blue background", "negative_prompt": "", "seed": 1}
    result = run(make(animatediff=fields, steps=steps, sampler_name=SAMPLER, cfg_scale=SCALE, **request))
    (files,) = result.extra_generation_params["AnimateDiff files"]
    pictures = array([image for image in result.images if not isinstance(image, str)])  # the video is a path
    return {
        "frames": len(pictures),
        "frames in the file": mp4_frames(files["MP4"])[0],
        "different frames": len(np.unique(pictures.reshape(len(pictures), -1), axis=0)),
        "least contrast of a frame": float(pictures.std(axis=(1, 2, 3)).min()),
        "steps": steps,
        "seconds": round(time.perf_counter() - started, 1),
        "memory before, MB": before,
        "peak memory, MB": peak(),
    }


def peak() -> int:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(sys.argv[1:]))
