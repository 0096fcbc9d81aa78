"""Videos whose frames carry their number, made by ffmpeg and Pillow, for everything that reads videos."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from media_clips import numbered_frame
from PIL import Image

SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"]
DUPLICATES = [number // 2 if number < 20 else number - 10 for number in range(37)]  # the first 20 come in pairs


def ffmpeg(*arguments, data=None):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-hide_banner", "-loglevel", "error", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def film(path, numbers, fps=25, size=(64, 48), starts=None, sound=False, options=()):
    """A video with one frame for each number; with `starts` they begin at these seconds."""
    data = b"".join(np.asarray(numbered_frame(number, size)).tobytes() for number in numbers)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-framerate", fps, "-i", "pipe:0"]
    source += ["-t", float(len(numbers) / Fraction(fps)), *SOUND] if sound else []
    times = "+".join(f"eq(N,{place})*{start}" for place, start in enumerate(starts or []))
    filters = [*([f"setpts='({times})/TB'"] if times else []), "format=yuv420p"]
    codec = {".webm": ["-c:v", "libvpx-vp9", "-deadline", "realtime"], ".avi": ["-c:v", "mpeg4", "-q:v", "2"]}
    kind = codec.get(path.suffix, ["-c:v", "libx264"])
    timed = ["-fps_mode", "passthrough", "-enc_time_base", "1:1000"] if times else []
    heard = ["-map", "0:v", "-map", "1:a"] if sound else []
    ffmpeg(*source, *heard, "-vf", ",".join(filters), *timed, *kind, *options, path, data=data)
    return path


def vfr_webm(path):
    """24 frames that last 40 ms or 120 ms, 2.0 s together; returns the file and the frames' seconds."""
    lengths = [0.04 if place % 3 else 0.12 for place in range(24)]
    starts = [round(sum(lengths[:place]), 3) for place in range(24)]
    return film(path, range(24), starts=starts), sum(lengths)


def gif(path, numbers, lengths_ms, size=(64, 48)):
    frames = [numbered_frame(number, size).quantize(4) for number in numbers]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=lengths_ms, loop=0)
    return path


def folder_of(path, numbers, suffix=".png", size=(16, 12), name="{}"):
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", size, (number % 256, number // 256, 7)).save(path / f"{name.format(number)}{suffix}")
    return path


def numbers_of(files):
    """What `folder_of` wrote into pictures."""
    found = []
    for file in files:
        with Image.open(file) as picture:
            red, green, _ = picture.convert("RGB").getpixel((0, 0))
        found.append(red + 256 * green)
    return found


def streams(path):
    """The lines about streams that ffmpeg prints."""
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-i", str(path)], capture_output=True)
    return [line for line in done.stderr.decode().splitlines() if "Stream #" in line or "Duration" in line]


def sound_of(path):
    """The sound of a file: mono samples at 8000 per second."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-map", "0:a:0", "-ac", "1"]
    done = subprocess.run([*command, "-ar", "8000", "-f", "s16le", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.int16).astype(float)


def seconds_of(path: Path) -> float:
    clock = next(line for line in streams(path) if "Duration" in line).split()[1].strip(",")
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
