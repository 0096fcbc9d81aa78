"""How long the parts of the start-up take."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

WORTH_SAYING = 0.1
"""Seconds; shorter parts are left out of the summary."""


class Timer:
    """Adds up seconds under names; `record(name)` books the time since the last record."""

    def __init__(self, print_log: bool = False) -> None:
        self.print_log = print_log
        self.reset()

    def reset(self) -> None:
        """Forget everything and start again from now."""
        self.start = time.time()
        self.records: dict[str, float] = {}
        self.total = 0.0
        self.base_category = ""

    def elapsed(self) -> float:
        """Seconds since the last call."""
        now = time.time()
        seconds, self.start = now - self.start, now
        return seconds

    def add_time_to_record(self, category: str, amount: float) -> None:
        """Add seconds to a name."""
        self.records[category] = self.records.get(category, 0.0) + amount

    def record(self, category: str, extra_time: float = 0.0, disable_log: bool = False) -> None:
        """Book the time since the last record under `category`."""
        seconds = self.elapsed() + extra_time
        self.add_time_to_record(self.base_category + category, seconds)
        self.total += seconds
        if self.print_log and not disable_log:
            print(f"{self.base_category}{category}: done in {seconds:.3f}s")

    @contextlib.contextmanager
    def subcategory(self, name: str) -> Iterator[None]:
        """Records made inside are named `name/...`."""
        outer = self.base_category
        self.elapsed()
        self.base_category = f"{outer}{name}/"
        try:
            yield
        finally:
            self.base_category = outer
            self.record(name, disable_log=True)

    def summary(self) -> str:
        """The total and its larger parts in one line."""
        parts = [f"{k}: {v:.1f}s" for k, v in self.records.items() if v >= WORTH_SAYING and "/" not in k]
        return f"{self.total:.1f}s" + (f" ({', '.join(parts)})" if parts else "")

    def dump(self) -> dict[str, Any]:
        """All records, for the API."""
        return {"total": self.total, "records": self.records}


startup_timer = Timer()
