"""The benchmark for graphics cards runs in small on a processor, and says what is missing."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench" / "bench_gpu.py"


def test_in_small(tmp_path):
    file = tmp_path / "rows.json"
    done = subprocess.run([sys.executable, BENCH, "--tiny", "--json", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(file.read_text("utf8"))
    rows = {(row["what"], row["by"]): row for row in told["rows"]}
    assert told["device"].startswith("CPU") and len(rows) == len(told["rows"]) == 4 * 4 + 4 + 3 * 2 + 2
    for (what, by), row in rows.items():
        assert row.get("note") == "not here" if by == "ours, xformers" else row["ms"] > 0, what
    assert {by for what, by in rows if what.startswith("SD1.5, 16")} == {"ours", "diffusers"}
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == len(rows) + 2
