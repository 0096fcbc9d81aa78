"""Work on several processes or machines by way of Dask: what `python3 pocket farm` is made of."""

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:  # a worker begins with this package, and the extension's lies beside the pocket
    sys.path.append(_ROOT)
