"""What a video takes of a graphics card's memory, calculated: `python tests/bench/bench_gpu_memory.py`.

No card is needed, and none is measured. One call of SD1.5's own UNet with a v2 motion module, and the decoding of a frame, run on
torch's device "meta", which has shapes and no values, and what is alive at once is counted. Attention is counted as the WebUI's
`--opt-sdp-attention` and `--xformers` do it, with nothing but its result; weights are in half precision, and casts are those of
torch's autocast. To that comes what CUDA, the driver and a torch that keeps freed blocks take (`REST`, a guess).

Three tables: a call at several sizes; 16 frames from everything at once down to the floor; README's table of cards.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from gpu_memory import Way, decoding, sampling

FRAMES = 16
SIZES = ((512, 512), (512, 768), (768, 768), (1024, 1024))
PLAIN = Way()
APART = replace(PLAIN, rows_of_frame=1)
LEAST = PLAIN.least()
MEDVRAM, LEAST_MEDVRAM = replace(PLAIN, kept="medvram"), replace(LEAST, kept="medvram")
STEPS = {  # each of the setting's parts beside those before it, then the WebUI's own ways beside the setting
    "two windows in a call": replace(PLAIN, windows=2),
    "one window in a call": PLAIN,
    "prompt and negative prompt in two calls": APART,
    "motion layers on the card in turn": replace(APART, in_turn=True),
    "their work in small pieces": replace(APART, in_turn=True, small=True),
    "the UNet's, too: the setting": LEAST,
    "the setting, and attention *split*": replace(LEAST, split=True),
    "the setting, FP8 weight": replace(LEAST, fp8=True),
    "`--medvram` alone": MEDVRAM,
    "the setting, `--medvram`": LEAST_MEDVRAM,
    "the setting, `--medvram`, FP8 weight": replace(LEAST_MEDVRAM, fp8=True),
    "`--lowvram` alone": replace(PLAIN, kept="lowvram"),
    "the setting, `--lowvram`": replace(LEAST, kept="lowvram"),
    "the setting, `--lowvram`, FP8 weight": replace(LEAST, kept="lowvram", fp8=True),
}
LEAST_WORDS = "*Use as little graphics memory as possible*"
CARDS = (  # GB of the card, size, way, what README calls it
    (4, (512, 512), LEAST_MEDVRAM, f"`--medvram`; {LEAST_WORDS}"),
    (4, (512, 768), LEAST_MEDVRAM, "the same"),
    (6, (512, 512), MEDVRAM, "`--medvram`"),
    (6, (512, 512), LEAST, LEAST_WORDS),
    (6, (768, 768), LEAST_MEDVRAM, f"`--medvram`; {LEAST_WORDS}"),
    (6, (1024, 1024), LEAST_MEDVRAM, "the same; by hires fix, too"),
    (8, (512, 512), PLAIN, ""),
    (8, (512, 768), PLAIN, ""),
    (8, (768, 768), LEAST, LEAST_WORDS),
    (8, (1024, 1024), LEAST, "the same; by hires fix, too"),
    (12, (512, 512), replace(PLAIN, windows=2), ""),
    (12, (768, 768), PLAIN, ""),
    (12, (1024, 1024), APART, "*Batch cond/uncond* off (Settings, Optimizations)"),
)


def largest(way: Way, width: int, height: int) -> float:
    """GB that are needed, while it samples or while it decodes."""
    return max(sampling(way, FRAMES, width, height), decoding(way, width, height))


def of_sizes():
    """A call with so many frames, by what shares it."""
    yield "size", "frames in a call", "in one call GB", "apart GB", "the setting GB"
    for size in SIZES:
        for frames in (8, 16, 32):
            yield f"{size[0]}x{size[1]}", frames, *(sampling(way, frames, *size) for way in (PLAIN, APART, LEAST))


def of_steps():
    """16 frames: what each way to save memory does."""
    sizes = SIZES[:2]
    yield "16 frames", *(f"{what} {size[0]}x{size[1]} GB" for what in ("sampling", "decoding") for size in sizes)
    for words, way in STEPS.items():
        yield words, *(sampling(way, FRAMES, *size) for size in sizes), *(decoding(way, *size) for size in sizes)


def of_cards():
    """README's, with what fits."""
    yield "card", "size", "Context batch size", "Windows per call", "besides", "takes"
    before = 0
    for card, size, way, words in CARDS:
        takes = f"{largest(way, *size):.1f} GB"
        yield "" if card == before else f"{card} GB", f"{size[0]}x{size[1]}", FRAMES, way.windows, words, takes
        before = card


def line(cells) -> str:
    """Of a table."""
    return (
        "".join(f"| {f'{cell:.2f}' if isinstance(cell, float) else cell} ".replace("|  ", "| ") for cell in cells) + "|"
    )


def main() -> None:
    """Print the tables; a window's frames times windows per call are the frames in a call."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for table in (of_sizes, of_steps, of_cards):
        print(f"\n{table.__doc__}\n")
        for number, cells in enumerate(table()):
            print(line(cells), *(["|" + "---|" * len(cells)] if number == 0 else []), sep="\n", flush=True)


if __name__ == "__main__":
    main()
