"""What the extension costs a host that does not use it: seconds at start-up, and seconds of a plain run.

    python tests/bench/bench_host.py [--runs N]

Processor time, since machines are busy; the least of several turns, with and without the extension in processes of
their own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import gc, json, sys, time
from pathlib import Path
sys.path[:0] = [{pocket!r}]
folder, extended, runs = Path(sys.argv[1]), sys.argv[2] == "on", int(sys.argv[3])
import torch, gradio
from modules import initialize_pocket, processing, scripts, shared
shared.cmd_opts.disable_console_progressbars = True
clock, load = [], scripts.load_scripts
def timed():
    gc.collect(); gc.freeze()  # going through the host's objects again is no cost of whoever allocates next
    start = time.process_time(); load(); clock.append(time.process_time() - start)
    gc.unfreeze()
scripts.load_scripts = timed
initialize_pocket.start(checkpoint=folder / "tiny.safetensors", motion_modules=folder, data_dir=folder / "data",
                        extensions=[Path({root!r})] if extended else [])
def run():
    p = processing.StableDiffusionProcessingTxt2Img(sd_model=shared.sd_model, prompt="a cat", steps=10, width=64,
        height=64, batch_size=4, sampler_name="Euler", scheduler="Automatic", seed=1, do_not_save_samples=True,
        do_not_save_grid=True)
    p.is_api = True
    p.scripts = scripts.scripts_txt2img
    p.script_args = tuple([0] + [getattr(c, "value", None) for c in scripts.scripts_txt2img.inputs[1:]])
    start = time.process_time(); processing.process_images(p); p.close(); return time.process_time() - start
run()
print("RESULT", json.dumps({{"load": clock[0], "run": min(run() for _ in range(runs))}}))
"""


def measure(folder: str, extension: str, runs: int) -> dict[str, float]:
    """Seconds to load the scripts, and of the fastest of some runs, in a process of its own."""
    code = CHILD.format(pocket=str(ROOT / "pocket"), root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", code, folder, extension, str(runs)], capture_output=True, text=True)
    if "RESULT" not in done.stdout:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.split("RESULT")[1].splitlines()[0])


def main() -> None:
    """Measure in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    sys.path[:0] = [str(ROOT / "pocket")]
    import weights

    with tempfile.TemporaryDirectory() as folder:
        weights.make_set(folder)
        turns = [{side: measure(folder, side, asked.runs) for side in ("off", "on")} for _ in range(asked.turns)]
    best = {side: {key: min(turn[side][key] for turn in turns) for key in ("load", "run")} for side in ("off", "on")}
    print(
        f"start-up: scripts load in {best['on']['load']:.3f} s with the extension, {best['off']['load']:.3f} s without"
    )
    print(f"          the extension adds {best['on']['load'] - best['off']['load']:.3f} s")
    print(f"plain run: {best['on']['run']:.3f} s with the extension off, {best['off']['run']:.3f} s without it")
    print(f"          ratio {best['on']['run'] / best['off']['run']:.3f}")


if __name__ == "__main__":
    main()
