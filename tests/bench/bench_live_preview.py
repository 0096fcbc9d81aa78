"""What the moving live preview costs: processor time of its own, as a share of the run's.

    python tests/bench/bench_live_preview.py [--frames N] [--steps N] [--turns N]

The bundled model makes a video while a page asks once a second, over HTTP as pages do; the same video without a page
tells what all of it costs, the page's questions included (the least of several turns, since machines are busy). Then
what one preview takes at the sizes of real checkpoints.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "pocket" / "model"
sys.path[:0] = [str(ROOT), str(ROOT / "pocket"), str(ROOT / "tests" / "webui")]
TASK = "task(bench)"


def start(data: str) -> str:
    """Start the pocket WebUI with the bundled model, and its server; gives the address."""
    from modules import initialize_pocket, shared

    shared.cmd_opts.disable_console_progressbars = True
    initialize_pocket.start(
        checkpoint=MODEL / "pocket.safetensors", motion_modules=MODEL / "motion", data_dir=Path(data), ui=False
    )
    from modules import web_app

    ready, urls = threading.Event(), []
    server = web_app.Server(web_app.create_app(), lambda url: (urls.append(url), ready.set()))
    threading.Thread(target=server.run, kwargs={"sockets": [web_app.listen(0)]}, daemon=True).start()
    ready.wait(300)
    return urls[0]


class Page(threading.Thread):
    """Asks once a second until it is told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.over, self.previews, self.bytes = url, threading.Event(), 0, 0

    def run(self) -> None:
        import httpx

        known = 0
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.over.wait(1.0):
                answer = client.get("/animatediff/live-preview", params={"id_task": TASK, "known": known})
                if answer.status_code == 200:
                    known = int(answer.headers["animatediff-preview"])
                    self.previews, self.bytes = self.previews + 1, len(answer.content)


def make(frames: int, steps: int, url: str | None) -> tuple[float, float, Page | None]:
    """Make a video; gives the seconds of processor time of the run, those that the preview says it took, the page."""
    from runs import make as processing
    from runs import run, video

    from modules import progress
    from motion_module.webui.sampling import live_preview

    fields = video(model="pocket_mm_v2.safetensors", video_length=frames, batch_size=16, format=["PNG"])
    p = processing(animatediff=fields, steps=steps, width=64, height=64, prompt="a yellow star moving left")
    made, original = [], live_preview.LivePreview.__enter__
    live_preview.LivePreview.__enter__ = lambda preview: made.append(preview) or original(preview)
    page = Page(url) if url else None
    progress.start_task(TASK)
    if page:
        page.start()
    before = time.process_time()
    try:
        run(p)
    finally:
        used = time.process_time() - before
        live_preview.LivePreview.__enter__ = original
        progress.finish_task(TASK)
        if page:
            page.over.set()
            page.join()
    return used, made[0].work.spent, page


def one_preview(frames: int, height: int, width: int) -> tuple[float, int]:
    """Seconds of processor time that one preview of a video takes, and how many bytes it has."""
    import torch

    from motion_module.webui.sampling.live_preview import LivePreview

    class Purse:
        affordable, spent = 1e9, 0.0
        begin = staticmethod(lambda: None)

        def spend(self, seconds: float) -> None:
            self.spent += seconds

    latents = torch.nn.functional.interpolate(torch.randn(frames, 4, height // 32, width // 32), scale_factor=4.0)
    preview = LivePreview(8.0, Purse())
    preview.newest(0)
    preview._store(lambda kept: None, latents)
    return preview.work.spent, len(preview.newest(0).webp)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        url = start(data)
        make(16, 4, None)
        turns = [[make(asked.frames, asked.steps, side) for side in (None, url)] for _ in range(asked.turns)]
        plain, watched = (min(turn[side][0] for turn in turns) for side in (0, 1))
        shares = [spent / used for _, (used, spent, _) in turns]
        page = turns[0][1][2]
        print(f"{asked.frames} frames, {asked.steps} steps: {watched:.1f} s of processor time, {plain:.1f} s unwatched")
        print(f"previews: {page.previews} of {page.bytes / 1000:.0f} kB in the first turn")
        print(f"the preview's own share, by turns: {', '.join(f'{100 * share:.2f} %' for share in shares)}")
        print(f"all that a page adds: ratio {watched / plain:.3f}")
        for frames, height, width in ((16, 512, 512), (64, 512, 768), (16, 1024, 1024)):
            seconds, size = min(one_preview(frames, height, width) for _ in range(3))
            print(f"one preview of {frames} frames of {width}x{height}: {1000 * seconds:.0f} ms, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
