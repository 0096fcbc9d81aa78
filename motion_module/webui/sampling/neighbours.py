"""Other extensions in the middle of sampling: who they are, and what they hold for the rows of a model call."""

from __future__ import annotations

import functools
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

import motion_module
from modules import errors, script_callbacks
from motion_module.core.denoising.frame_rows import picked
from motion_module.core.denoising.model_calls import AroundCall, ModelCall
from motion_module.core.denoising.row_order import UnknownRowsError
from motion_module.errors import HostError, SaidError, UserError
from motion_module.memory import is_out_of_memory
from motion_module.patching import replaced, replaced_call
from motion_module.wording import mention

_OURS = Path(motion_module.__file__).resolve().parents[1]
_COUNT = "batch"  # in the names of what counts rows by the host's batch size
_LIBRARIES = {"torch", "einops"}  # through which an extension may fail
Result = TypeVar("Result")


def with_neighbour_named(read: Callable[..., Result], *args: Any) -> Result:
    """`read(*args)`, which tells where rows are; where it cannot, the person is told who has moved them.

    Raises:
        UserError: names the extensions in question, and what to set.
        HostError: likewise, where none is known.
    """
    try:
        return read(*args)
    except UnknownRowsError as error:
        who = _moved_by()
        kind = UserError if who else HostError
        raise kind(
            f"AnimateDiff cannot tell {error.numbers}: {who or 'another extension'} has moved or changed the rows. "
            f"Turn that off for this video; of an extension that works on tiles, set the batch size of tiles to 1"
        ) from error


@contextmanager
def failures_raised(long: bool) -> Iterator[None]:
    """What a denoiser callback of another extension raises, the host prints and forgets; its effect is then missing.

    Where the video is cut into windows, that is most likely why.

    Args:
        long: whether it is.

    Raises:
        UserError: names the extension and what to set.
    """
    failed: list[BaseException] = []

    def noted(report: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            error = sys.exc_info()[1]
            failed.extend([error] if error is not None else [])
            return report(*args, **kwargs)

        return call

    with replaced_call(errors, "report", noted):
        yield
    if failed and long:
        raise _cannot_do_windows(failed[0])


@contextmanager
def failing_in_windows(call: ModelCall) -> Iterator[None]:
    """One call of the model; another extension that fails in it, as it expects all frames at once, is named.

    Raises:
        UserError: names the extension and what to set.
    """
    try:
        yield
    except SaidError:
        raise
    except Exception as error:
        if not is_out_of_memory(error) and call.calls > 1 and _failed_in(error):
            raise _cannot_do_windows(error) from error
        raise


@contextmanager
def counting_by_window(unet: nn.Module, frames: int) -> Iterator[AroundCall]:
    """Keep others right that stand in the UNet and count rows by the host's batch size, while calls have fewer.

    What they hold for each frame is cut to the frames of each call, and their count is set to its rows.

    Args:
        unet: where they stand.
        frames: N, which is the host's batch size.

    Yields:
        What goes around each call of the model.

    Raises:
        UserError: somebody's count cannot be set.
    """
    counting = list(_counting(unet, frames))

    def around(call: ModelCall) -> AbstractContextManager[None]:
        return _cut(counting, call, frames)

    yield around


@contextmanager
def _cut(owners: Iterable[Any], call: ModelCall, frames: int) -> Iterator[None]:
    count, shown = _rows_of_a_side(call)
    with ExitStack() as stack:
        for owner in owners if count != frames else ():
            for name, value in list(vars(owner).items()):
                cut = _cut_value(name, value, frames, count, shown)
                if cut is not value:
                    stack.enter_context(replaced(owner, name, cut))
        yield


def _rows_of_a_side(call: ModelCall) -> tuple[int, list[int]]:
    """How many rows of a call belong to the same prompt, and which frames they show."""
    shown = [call.layout.frame_of(row)[0] for row in call.rows]
    first = shown[: call.frames]
    repeats = [shown[start : start + call.frames] for start in range(0, len(shown), call.frames)]
    windows: list[list[int]] = []
    for frames in repeats:  # one branch of the guidance after the other, each with all windows of the call
        if windows and frames == first:
            break
        windows.append(frames)
    together = [frame for frames in windows for frame in frames]
    return len(together), together


def _cut_value(name: str, value: Any, frames: int, count: int, shown: list[int]) -> Any:
    if type(value) is int and value == frames and _COUNT in name.lower():
        return count
    if isinstance(value, Tensor) and value.dim() > 1 and value.shape[0] == frames:
        return picked(value, shown)
    if isinstance(value, list) and any(isinstance(item, Tensor) for item in value):
        cut = [_cut_value(name, item, frames, count, shown) if isinstance(item, Tensor) else item for item in value]
        return cut if any(new is not other for new, other in zip(cut, value, strict=True)) else value
    return value


def _counting(unet: nn.Module, frames: int) -> Iterator[Any]:
    """Whoever stands in a layer of the UNet and holds a count of rows; each once."""
    seen: set[int] = set()
    for function in standing_in(unet):
        for name, held in held_by(function):
            if type(held) is int and held == frames and _COUNT in name.lower():
                raise UserError(
                    f"AnimateDiff cuts this video into windows, but {extension_of(function) or 'another extension'} "
                    f"counts on all {frames} frames in each model call. {_WAYS_OUT}"
                )
            attributes = getattr(held, "__dict__", {})
            counts = any(
                type(value) is int and value == frames and _COUNT in key.lower() for key, value in attributes.items()
            )
            if counts and not isinstance(held, nn.Module) and id(held) not in seen:
                seen.add(id(held))
                yield held


def standing_in(unet: nn.Module) -> Iterator[Callable[..., Any]]:
    """Functions of others in the place of the layers' own, or hooked to them."""
    for module in unet.modules():
        for function in (
            vars(module).get("forward"),
            *module._forward_pre_hooks.values(),
            *module._forward_hooks.values(),
        ):
            if function is not None:
                yield function


def held_by(function: Any) -> Iterator[tuple[str, Any]]:
    """(name, value) of what a function is bound to and of what it closes over."""
    yield "", getattr(function, "__self__", None)
    plain = getattr(function, "__func__", function)
    code, cells = getattr(plain, "__code__", None), getattr(plain, "__closure__", None) or ()
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a name that has no value yet
            continue


_WAYS_OUT = f"Set {mention('batch_size')} to the number of frames, or turn that extension off for this video"


def _cannot_do_windows(error: BaseException) -> UserError:
    who = _failed_in(error) or "another extension"
    return UserError(
        f"AnimateDiff cuts this video into windows, and {who} failed beside them ({type(error).__name__}: {error}). "
        f"{_WAYS_OUT}"
    )


def _moved_by() -> str:
    registered = script_callbacks.callback_map.get("callbacks_cfg_denoiser", [])
    paths = [*(callback.script for callback in registered), *_files_of_callers()]
    return " or ".join(dict.fromkeys(name for path in paths if (name := _name_of(path))))


def _files_of_callers() -> Iterator[str]:
    frame = sys._getframe()
    while frame.f_back is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


def _failed_in(error: BaseException) -> str:
    """The name of the other extension whose own line an error comes from, empty where it is nobody's."""
    file = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not _LIBRARIES & set(Path(frame.f_code.co_filename).parts):
            file = frame.f_code.co_filename
    return _name_of(file)


def extension_of(function: Any) -> str:
    """The name of the other extension that a function belongs to, empty where it is ours or the host's."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return _name_of(code.co_filename) if code else ""


def _name_of(path: str | None) -> str:
    """The name of the other extension that a file belongs to, empty where it is ours or the host's.

    ControlNet is none of those that are meant here: what it holds is handed out to each call.
    """
    parts = Path(path or "").parts
    if "extensions" not in parts[:-1] or Path(path or "").resolve().is_relative_to(_OURS):
        return ""
    name = parts[len(parts) - parts[::-1].index("extensions")]
    return "" if "controlnet" in name.lower() else name
