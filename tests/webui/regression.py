"""Small cases whose frames are kept in `tests/data/regression.npz`, made by the pocket WebUI itself.

Made anew, once it agrees with the real WebUI, by `python tests/webui/regression.py`.
"""

import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FILE = TESTS / "data" / "regression.npz"
TRAVEL = {"prompt": "0: a red cat\n3: a blue dog"}
CASES = {
    "v1_8x4": {"fields": {"model": "mm_tiny_v1.safetensors", "video_length": 8, "batch_size": 4, "blend": "overwrite"}},
    "v2_ddim": {"fields": {"video_length": 4}, "sampler_name": "DDIM"},
    "v3_travel": {"fields": {"model": "mm_tiny_v3.safetensors", "video_length": 4}, **TRAVEL},
    "v2_i2i": {"fields": {"video_length": 4}, "tab": "img2img", "steps": 4},
    "v2_pyramid": {
        "fields": {"video_length": 8, "batch_size": 4, "overlap": 2, "closed_loop": "A", "blend": "pyramid"}
    },
}


def main() -> None:
    """Start the pocket WebUI with the tests' weights, and write every case's frames."""
    sys.path[:0] = [str(TESTS.parent / "pocket"), str(TESTS)]
    import numpy as np
    from conftest import make_weights
    from runs import frames

    with tempfile.TemporaryDirectory() as folder:
        made = make_weights(Path(folder))
        from modules import initialize_pocket

        initialize_pocket.start(
            checkpoint=made["checkpoint"], motion_modules=made["v1"].parent, data_dir=Path(folder) / "data"
        )
        np.savez_compressed(FILE, **{name: frames(**case) for name, case in CASES.items()})


if __name__ == "__main__":
    main()
