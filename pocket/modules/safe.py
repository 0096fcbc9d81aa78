"""Loading of pickled weights without running what else may be in the file."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


def load(filename: Any, *args: Any, **kwargs: Any) -> Any:
    """torch.load that reads tensors and plain values only.

    Raises:
        pickle.UnpicklingError: there is anything else in the file.
    """
    kwargs["weights_only"] = True
    return torch.load(filename, *args, **kwargs)


def load_weights(filename: str, map_location: Any) -> dict[str, Any]:
    """The table of weights in a file, whether or not it is called `state_dict` there.

    Raises:
        ValueError: there is none, or there is anything else in the file; PyTorch's own words are a paragraph.
    """
    try:
        found = load(filename, map_location=map_location)
    except (pickle.UnpicklingError, EOFError, RuntimeError, LookupError) as error:
        raise ValueError("it holds no weights that can be read without running what is in it.") from error
    weights = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(weights, dict):
        raise ValueError("it holds no table of weights.")
    return weights


def load_with_extra(filename: Any, extra_handler: Any = None, *args: Any, **kwargs: Any) -> Any:
    """As `load`; handlers that allow further classes are not asked."""
    return load(filename, *args, **kwargs)


unsafe_torch_load = load  # in the WebUI this runs whatever is in the file; no extension needs that here


@contextmanager
def Extra(handler: Callable[[str, str], Any]) -> Iterator[None]:  # noqa: N802 (its name in the WebUI)
    """Would allow further classes while it is entered."""
    yield
