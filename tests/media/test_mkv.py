"""MKV; what every format has to do is tested with the others."""

import subprocess

import imageio_ffmpeg
from PIL import Image

from motion_module.media.writing.clip import Clip, ClipInfo


def test_every_pixel_stays(save):
    frames = [Image.effect_noise((63, 33), 80).convert("RGB") for _ in range(3)]
    (path,) = save(Clip(frames, ClipInfo()), ["MKV"]).files["MKV"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", path, "-f", "rawvideo"]
    pixels = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    assert pixels == b"".join(frame.tobytes() for frame in frames)
