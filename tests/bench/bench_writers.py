"""How long each writer takes, how large its files are and how good, beside the plain ways.

    python tests/bench/bench_writers.py [--frames 64] [--size 512] [--repeat 1] [--cpu]

Ratios are what counts: seconds depend on the machine and on what else it does. GIF is compared with Pillow's default
and with ffmpeg's palettes (one for the whole clip, or one for each frame, dithered as ffmpeg does by default), MP4 with
the default of imageio-ffmpeg. PSNR and SSIM are means over frames; "seen" is the PSNR after a slight blur, as
the eye averages dithering. With --cpu the seconds are those that processors worked, on all threads and in ffmpeg, which
depend less on what else the machine does.

    python tests/bench/bench_writers.py --flicker [--frames 16] [--size 256] [--repeat 1]

How steady the colours of GIFs are: of all pixels that differ by at most 2 levels between two neighbouring frames, how
much the GIF's neighbouring frames differ (largest, 99.9th percentile, mean), on smooth pictures and on frames that the
bundled model makes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageFilter, ImageSequence
from scipy.ndimage import uniform_filter

sys.path.insert(0, str(Path(__file__).parents[1] / "media"))
sys.path.insert(0, str(Path(__file__).parents[2]))

from smooth_clips import CLIPS, flicker

from motion_module.formats import WRITTEN
from motion_module.media.writing.clip import Clip, ClipInfo
from motion_module.media.writing.names import claimed
from motion_module.media.writing.saving import write_clip
from motion_module.settings import Settings

FPS = 8
_PALETTES = ("one", "each frame's")


def moving_picture(step: float, size: int) -> Image.Image:
    """Slow waves of colour, textured blobs that move over them, and film grain."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    turn = 2 * np.pi * step
    waves = [np.sin(3 * x + turn), np.sin(4 * y - turn + 2 * x), np.cos(5 * np.hypot(x - 0.5, y - 0.5) + turn)]
    picture = 0.5 + 0.3 * np.stack(waves, axis=-1)
    for number in range(5):
        centre_x = 0.5 + 0.35 * np.cos(turn + number * 1.3)
        centre_y = 0.5 + 0.3 * np.sin(turn * (1 + number % 2) + number)
        inside = (np.hypot(x - centre_x, y - centre_y) < 0.05 + 0.02 * number)[..., None]
        texture = 0.5 + 0.5 * np.sin(60 * (x - centre_x) * (1 + number)) * np.cos(50 * (y - centre_y))
        colour = np.array([number % 2, (number // 2) % 2, 0.4 * (number % 3)], np.float32)
        picture = np.where(inside, 0.6 * colour + 0.4 * texture[..., None], picture)
    grain = np.random.default_rng(int(step * 1000)).normal(0, 0.012, picture.shape)
    return Image.fromarray((np.clip(picture + grain, 0, 1) * 255).astype(np.uint8))


def ours(name: str, settings: Settings) -> Callable[[list[Image.Image], Path], Path]:
    """Our writer of one format, alone."""

    def write(frames: list[Image.Image], folder: Path) -> Path:
        with claimed(folder, 1) as claim:
            report = write_clip(Clip(frames, ClipInfo(fps=FPS)), [name], claim, settings)
        if report.failures:
            raise SystemExit(f"{name}: {report.failures[name]}")
        return report.files[name][0]

    return write


def pillow_default(frames: list[Image.Image], folder: Path) -> Path:
    """GIF as one line of Pillow writes it."""
    path = folder / "pillow.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0)
    return path


def ffmpeg_palettes(each_frame: bool) -> Callable[[list[Image.Image], Path], Path]:
    """GIF with the palettes of ffmpeg's filters."""
    kinds = ("stats_mode=single", "new=1") if each_frame else ("stats_mode=full", "new=0")
    filters = "split[a][b];[a]palettegen={}[p];[b][p]paletteuse={}".format(*kinds)

    def write(frames: list[Image.Image], folder: Path) -> Path:
        path = folder / "ffmpeg.gif"
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*frames[0].size), "-r", str(FPS)]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *source, "-i", "-", "-lavfi", filters]
        pixels = b"".join(frame.tobytes() for frame in frames)
        subprocess.run([*command, str(path)], input=pixels, check=True)
        return path

    return write


def imageio_ffmpeg_default(frames: list[Image.Image], folder: Path) -> Path:
    """MP4 as imageio-ffmpeg writes it without any option."""
    path = folder / "imageio-ffmpeg.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), frames[0].size, fps=FPS)
    writer.send(None)
    for frame in frames:
        writer.send(frame.tobytes())
    writer.close()
    return path


def decoded(path: Path, size: tuple[int, int]) -> Iterator[Image.Image]:
    """The frames of a result file."""
    if path.suffix in (".mp4", ".webm", ".avif", ".mov", ".mkv"):
        stream = "0:v:1" if path.suffix == ".avif" else "0:v:0"  # an AVIF begins with a still picture
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map", stream]
        command += ["-sws_flags", "accurate_rnd+full_chroma_int", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        data = subprocess.run(command, capture_output=True, check=True).stdout
        length = size[0] * size[1] * 3
        yield from (Image.frombytes("RGB", size, data[at : at + length]) for at in range(0, len(data), length))
    elif path.suffix == ".png":
        yield from (Image.open(frame) for frame in sorted(path.parent.iterdir()))
    else:
        with Image.open(path) as image:
            yield from (frame.convert("RGB") for frame in ImageSequence.Iterator(image))


def psnr(one: Image.Image, other: Image.Image) -> float:
    error = np.square(np.asarray(one, np.float32) - np.asarray(other.convert("RGB"), np.float32)).mean()
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Structural similarity of the brightness (Wang et al. 2004) with windows of 7x7 pixels; 1 is equal."""
    first, second = (np.asarray(image.convert("L"), np.float64) for image in (one, other))
    mean = partial(uniform_filter, size=7)
    middles, others = mean(first), mean(second)
    spread = mean(first**2) - middles**2 + mean(second**2) - others**2
    common = mean(first * second) - middles * others
    light, contrast = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * middles * others + light) * (2 * common + contrast)
    return float((likeness / ((middles**2 + others**2 + light) * (spread + contrast))).mean())


def quality(frames: list[Image.Image], path: Path) -> tuple[float, float, float]:
    """PSNR as it is, PSNR as seen from a little further away, and SSIM; of every eighth frame."""
    pairs = [
        pair for number, pair in enumerate(zip(frames, decoded(path, frames[0].size), strict=True)) if number % 8 == 0
    ]
    blur = ImageFilter.GaussianBlur(1.5)
    plain = [psnr(one, other) for one, other in pairs]
    seen = [psnr(one.filter(blur), other.convert("RGB").filter(blur)) for one, other in pairs]
    return float(np.mean(plain)), float(np.mean(seen)), float(np.mean([ssim(*pair) for pair in pairs]))


def bytes_in(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir()) if path.suffix == ".png" else path.stat().st_size


def processor_seconds() -> float:
    """How long processors have worked for this process and for programs that it has started and seen end."""
    used = os.times()
    return time.process_time() + used.children_user + used.children_system


def timed(
    write: Callable[[list[Image.Image], Path], Path],
    frames: list[Image.Image],
    folder: Path,
    repeat: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, Path]:
    """The seconds of the best of some runs, and the file of the last."""
    seconds = []
    for run in range(repeat):
        place = folder / str(run)
        place.mkdir(parents=True)
        start = clock()
        path = write(frames, place)
        seconds.append(clock() - start)
    return min(seconds), path


def model_frames(count: int) -> list[Image.Image]:
    """Frames of the bundled model: the demo's request, as PNG."""
    video = {"enable": True, "video_length": count, "format": ["PNG"], "model": "pocket_mm_v2"}
    body = {
        "prompt": "a yellow star moving left, purple background",
        "seed": 1,
        "steps": 20,
        "width": 64,
        "height": 64,
        "cfg_scale": 3.0,
        "sampler_name": "Euler",
        "alwayson_scripts": {"AnimateDiff": {"args": [video]}},
    }
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.json"
        request.write_text(json.dumps(body), encoding="utf-8")
        places = ["--out", f"{folder}/out", "--data-dir", f"{folder}/data"]
        command = [sys.executable, str(Path(__file__).parents[2] / "pocket"), "generate", *places, str(request)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "POCKET_PYTHON": "current"})
        return [Image.open(path).convert("RGB") for path in sorted(Path(folder, "out").glob("*.png"))]


def print_flicker(count: int, size: int, repeat: int) -> None:
    """A table of how steady GIFs are: each clip by Pillow's default and by ours."""
    clips = {name: make(count, size) for name, make in CLIPS.items()}
    clips["bundled model, 64x64"] = small = model_frames(count)
    clips["bundled model, enlarged"] = [frame.resize((size, size), Image.Resampling.BICUBIC) for frame in small]
    clips["grain"] = [moving_picture(number / 64, size) for number in range(count)]
    writers = {
        "Pillow": pillow_default,
        "GIF": ours("GIF", Settings()),
        "GIF, best-looking": ours("GIF", Settings({"optimize_gif_palette": True})),
    }
    print(f"{count} frames of {size}x{size}")
    print("| clip | writer | ms a frame | kB a frame | PSNR | largest | 99.9 % | mean |")
    print("|---|---|---|---|---|---|---|---|")
    for clip, frames in clips.items():
        pixels = [np.asarray(frame) for frame in frames]
        for writer, write in writers.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds, path = timed(write, frames, Path(folder), repeat)
                pictures = list(decoded(path, frames[0].size))
                kilobytes = bytes_in(path) / 1e3
            if len(pictures) != len(frames):
                raise SystemExit(f"{writer}: {len(pictures)} of {len(frames)} frames of {clip}")
            found = flicker(pixels, [np.asarray(picture) for picture in pictures])
            exact = float(np.mean([psnr(*pair) for pair in zip(frames, pictures, strict=True)]))
            costs = f"{seconds * 1e3 / len(frames):.1f} | {kilobytes / len(frames):.1f} | {exact:.1f}"
            steady = f"{found.largest} | {found.nearly_largest:.0f} | {found.mean:.2f}"
            print(f"| {clip} | {writer} | {costs} | {steady} |", flush=True)


def writers() -> dict[str, Callable[[list[Image.Image], Path], Path]]:
    """All writers by the names of the table; "FORMAT, plain" is the plain way of a format."""
    plain = {"GIF, plain": pillow_default, "MP4, plain": imageio_ffmpeg_default}
    others = {f"GIF, ffmpeg, {kind} palette": ffmpeg_palettes(kind == "each frame's") for kind in _PALETTES}
    named = {name: ours(name, Settings()) for name in WRITTEN if name != "TXT"}
    best = {
        "GIF, optimised palette": ours("GIF", Settings({"optimize_gif_palette": True})),
        "MP4, crf 25 as imageio-ffmpeg": ours("MP4", Settings({"mp4_crf": 25})),
    }
    return {**plain, **others, **named, **best}


def print_formats(count: int, size: int, repeat: int, only: list[str] | None, cpu: bool) -> None:
    """The table of all writers, or of some; the plain way of a format is needed for ratios."""
    frames = [moving_picture(number / count, size) for number in range(count)]
    clock, unit = (processor_seconds, "CPU seconds") if cpu else (time.perf_counter, "seconds")
    print(f"{count} frames of {size}x{size}")
    print(f"| writer | {unit} | MB | PSNR | seen | SSIM | time beside the plain way | size | PSNR |")
    print("|---|---|---|---|---|---|---|---|---|")
    reference: dict[str, tuple[float, int, float]] = {}
    for name, write in writers().items():
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as folder:
            seconds, path = timed(write, frames, Path(folder), repeat, clock)
            length, (exact, seen, alike) = bytes_in(path), quality(frames, path)
        kind, ratios = name.split(",")[0], "| |"
        if kind in ("GIF", "MP4"):
            base = reference.setdefault(kind, (seconds, length, exact))
            ratios = f"{seconds / base[0]:.3f} | {length / base[1]:.2f} | {exact - base[2]:+.1f} dB"
        row = f"| {name} | {seconds:.2f} | {length / 1e6:.2f} | {exact:.1f} | {seen:.1f} | {alike:.3f} |"
        print(f"{row} {ratios} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flicker", action="store_true", help="measure how steady GIFs are instead")
    parser.add_argument("--frames", type=int, help="64, or 16 with --flicker")
    parser.add_argument("--size", type=int, help="512, or 256 with --flicker")
    parser.add_argument("--only", nargs="+", metavar="WRITER", help="names from the table's first column")
    parser.add_argument("--repeat", type=int, default=1, help="the best of so many runs counts")
    parser.add_argument("--cpu", action="store_true", help="seconds of processor time instead of the clock's")
    asked = parser.parse_args()
    if asked.flicker:
        print_flicker(asked.frames or 16, asked.size or 256, asked.repeat)
    else:
        print_formats(asked.frames or 64, asked.size or 512, asked.repeat, asked.only, asked.cpu)


if __name__ == "__main__":
    main()
