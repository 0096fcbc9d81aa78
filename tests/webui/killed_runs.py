"""A program that starts a host of its own and ends runs on it by SIGKILL, each in a process of its own.

    python killed_runs.py '{"host": {...}, "fields": {...}, "request": {...}, "places": [...], "result": ...}'

It writes JSON into the file `result`: place -> id of the run that broke off there.
"""

import json
import os
import signal
import sys
from pathlib import Path


def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number, after):
    """In a call of the denoiser, from 1: before anything of it is done, or when it is noted."""
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser
    from motion_module.webui.sampling.record import Record

    owner, name = (Record, "_write") if after else (CFGDenoiser, "forward")
    original, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(None)
        if len(calls) == number and not after:
            kill()
        result = original(*args, **kwargs)
        if len(calls) == number:
            kill()
        return result

    setattr(owner, name, counted)


def while_writing(number, whole):
    """While the answer of a call is written: half of it is there, or it has not got its name yet."""
    from motion_module.webui.request import unfinished

    put = unfinished.put

    def broken(file, content):
        if not file.name.endswith(f"{number - 1:05}.safetensors"):
            return put(file, content)
        Path(file.with_name(f".{file.name}.part") if whole else file).write_bytes(content[: None if whole else -99])
        return kill()

    unfinished.put = broken


def in_decoding():
    from modules import processing

    processing.decode_latent_batch = kill


PLACES = {
    "after the first call": lambda: at_call(1, after=True),
    "in the fourth call": lambda: at_call(4, after=False),
    "half of the third answer is written": lambda: while_writing(3, whole=False),
    "the fifth answer has no name yet": lambda: while_writing(5, whole=True),
    "in decoding": in_decoding,
}


def main(order):
    from runs import make, run

    from modules import initialize_pocket, shared
    from motion_module.webui.request import unfinished

    initialize_pocket.start(**{name: Path(path) for name, path in order["host"].items()})
    shared.opts.data["animatediff_resume_after"] = 1e-9
    found = {}
    for place in order["places"]:
        child = os.fork()
        if not child:
            PLACES[place]()
            run(make("txt2img", order["fields"], **order["request"]))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.exit(f"{place}: the run was not killed ({status})")
        (new,) = {broken.id for broken in unfinished.all_of_them()} - set(found.values())
        found[place] = new
    Path(order["result"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
