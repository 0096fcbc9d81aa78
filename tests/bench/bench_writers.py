"""How long each writer takes, how large its files are and how good, beside the plain ways.

    python tests/bench/bench_writers.py [--frames 64] [--size 512] [--repeat 1]

Ratios are what counts: seconds depend on the machine and on what else it does. GIF is compared with Pillow's default
and with ffmpeg's palettes (one for the whole clip, or one for each frame, dithered as ffmpeg does by default), MP4 with
the default of imageio's ffmpeg plugin. PSNR and SSIM are means over frames; "seen" is the PSNR after a slight blur, as
the eye averages dithering.
"""

from __future__ import annotations

import argparse
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

sys.path.insert(0, str(Path(__file__).parents[2]))

from motion_module.media.clip import Clip, ClipInfo
from motion_module.media.names import claimed
from motion_module.media.saving import write_clip
from motion_module.media.writers import WriterOptions, available_formats

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


def ours(name: str, options: WriterOptions) -> Callable[[list[Image.Image], Path], Path]:
    """Our writer of one format, alone."""

    def write(frames: list[Image.Image], folder: Path) -> Path:
        with claimed(folder, 1) as claim:
            report = write_clip(Clip(frames, ClipInfo(fps=FPS)), [name], claim, options)
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


def imageio_default(frames: list[Image.Image], folder: Path) -> Path:
    """MP4 as imageio's ffmpeg plugin writes it without any option."""
    path = folder / "imageio.mp4"
    writer = imageio_ffmpeg.write_frames(str(path), frames[0].size, fps=FPS)
    writer.send(None)
    for frame in frames:
        writer.send(frame.tobytes())
    writer.close()
    return path


def decoded(path: Path, size: tuple[int, int]) -> Iterator[Image.Image]:
    """The frames of a result file."""
    if path.suffix in (".mp4", ".webm", ".avif"):
        stream = "0:v:1" if path.suffix == ".avif" else "0:v:0"  # an AVIF begins with a still picture
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(path), "-map", stream]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=1, help="the best of so many runs counts")
    asked = parser.parse_args()
    frames = [moving_picture(number / asked.frames, asked.size) for number in range(asked.frames)]
    plain = {"GIF": pillow_default, "MP4": imageio_default}
    others = {f"GIF, ffmpeg, {kind} palette": ffmpeg_palettes(kind == "each frame's") for kind in _PALETTES}
    best = {
        "GIF, optimised palette": ours("GIF", WriterOptions(optimize_gif_palette=True)),
        "MP4, crf 25 as imageio": ours("MP4", WriterOptions(mp4_crf=25)),
    }
    named = {name: ours(name, WriterOptions()) for name in available_formats() if name != "TXT"}
    print(f"{asked.frames} frames of {asked.size}x{asked.size}")
    print("| writer | seconds | MB | PSNR | seen | SSIM | time beside the plain way | size | PSNR |")
    print("|---|---|---|---|---|---|---|---|---|")
    reference: dict[str, tuple[float, int, float]] = {}
    for name, write in [
        *((f"{key}, plain", way) for key, way in plain.items()),
        *others.items(),
        *named.items(),
        *best.items(),
    ]:
        seconds = []
        with tempfile.TemporaryDirectory() as folder:
            for run in range(asked.repeat):
                place = Path(folder) / str(run)
                place.mkdir()
                start = time.perf_counter()
                path = write(frames, place)
                seconds.append(time.perf_counter() - start)
            size, (exact, seen, alike) = bytes_in(path), quality(frames, path)
        kind = name.split(",")[0]
        base = reference.setdefault(kind, (min(seconds), size, exact))
        ratios = (
            f"{min(seconds) / base[0]:.3f} | {size / base[1]:.2f} | {exact - base[2]:+.1f} dB"
            if kind in plain
            else "| |"
        )
        row = f"| {name} | {min(seconds):.2f} | {size / 1e6:.2f} | {exact:.1f} | {seen:.1f} | {alike:.3f} | {ratios} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
