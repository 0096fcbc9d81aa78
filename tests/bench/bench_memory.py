"""What grows with the length of a video: peak memory of runs of 64 and 256 frames, 16 of them in a window.

    python tests/bench/bench_memory.py [--size PIXELS]

Each run is a process of its own on the pocket WebUI. The slope is set against the bytes that a frame needs in any case:
its latents, its two conditionings, its picture as the host decodes it (float32, three times while it stacks and rescales
them) and as it saves it (8 bits).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import json, resource, sys
from pathlib import Path
sys.path[:0] = [{pocket!r}, {tests!r}]
folder, frames, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
from modules import initialize_pocket, shared
shared.cmd_opts.disable_console_progressbars = True
initialize_pocket.start(checkpoint=folder / "tiny.safetensors", motion_modules=folder, data_dir=folder / "data")
from runs import make, run, video
def once(n):
    fields = video(model="mm_tiny_v2.safetensors", video_length=n, batch_size=16, format=["MP4"])
    run(make(animatediff=fields, steps=1, width=size, height=size))
once(32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
once(frames)
print("RESULT", json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
"""


def peak(folder: str, frames: int, size: int) -> int:
    """Peak resident bytes of a process that makes one video."""
    code = CHILD.format(pocket=str(ROOT / "pocket"), tests=str(ROOT / "tests" / "webui"))
    command = [sys.executable, "-c", code, folder, str(frames), str(size)]
    done = subprocess.run(command, capture_output=True, text=True)
    if "RESULT" not in done.stdout:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.split("RESULT")[1].splitlines()[0])


def needed(size: int) -> int:
    """Bytes of one frame that the host keeps in any case, for the tiny model (77 tokens of width 64)."""
    latents = 4 * (size // 8) ** 2 * 4
    pictures = size * size * 3 * (3 * 4 + 1)
    return 3 * latents + 2 * 77 * 64 * 4 + pictures  # noise, latents of the sampler, its result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    size = parser.parse_args().size
    sys.path[:0] = [str(ROOT / "pocket")]
    import weights

    with tempfile.TemporaryDirectory() as folder:
        weights.make_set(folder)
        short, long = peak(folder, 64, size), peak(folder, 256, size)
    slope = (long - short) / (256 - 64)
    print(f"peak: {short / 2**20:.0f} MB for 64 frames, {long / 2**20:.0f} MB for 256 frames of {size}x{size}")
    print(
        f"slope: {slope / 2**10:.0f} KB a frame, {slope / needed(size):.2f} of the {needed(size) / 2**10:.0f} KB it needs"
    )


if __name__ == "__main__":
    main()
