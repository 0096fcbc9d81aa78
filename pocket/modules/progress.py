"""Which task runs, which wait and which are done, and how far the running one is."""

import base64
import io
import random
import string
import time
from collections import OrderedDict, deque
from typing import Any

import gradio as gr
from fastapi import FastAPI
from pydantic import BaseModel, Field

from modules import shared

FINISHED_KEPT = 16
RESULTS_KEPT = 2

pending_tasks: OrderedDict[str, float] = OrderedDict()
finished_tasks: deque[str] = deque(maxlen=FINISHED_KEPT)
recorded_results: deque[tuple[str, Any]] = deque(maxlen=RESULTS_KEPT)
_running: list[str | None] = [None]


def __getattr__(name: str) -> Any:
    """`progress.current_task` is the name of the task that runs now."""
    if name == "current_task":
        return _running[0]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def create_task_id(task_type: str) -> str:
    """A new name for a task, in the form that the page's buttons send."""
    letters = random.choices(string.ascii_uppercase + string.digits, k=7)
    return f"task({task_type}-{''.join(letters)})"


def add_task_to_queue(id_job: str) -> None:
    """The task waits from now on."""
    pending_tasks[id_job] = time.time()


def start_task(id_task: str | None) -> None:
    """The task runs from now on."""
    _running[0] = id_task
    if id_task is not None:
        pending_tasks.pop(id_task, None)


def finish_task(id_task: str | None) -> None:
    """The task is done, well or not."""
    if _running[0] == id_task:
        _running[0] = None
    if id_task is not None:
        pending_tasks.pop(id_task, None)  # one that failed before it began
        finished_tasks.append(id_task)


def record_results(id_task: str | None, res: Any) -> None:
    """Keeps a result for a page that lost its connection."""
    if id_task is not None:
        recorded_results.append((id_task, res))


class PendingTasksResponse(BaseModel):
    """Body of GET /internal/pending-tasks."""

    size: int = Field(title="Pending task size")
    tasks: list[str] = Field(title="Pending task ids")


class ProgressRequest(BaseModel):
    """Body of POST /internal/progress."""

    id_task: str = Field(default=None, title="Task ID")
    id_live_preview: int = Field(default=-1, title="Live preview image ID")
    live_preview: bool = Field(default=True, title="Include live preview")


class ProgressResponse(BaseModel):
    """Answer of POST /internal/progress."""

    active: bool = Field(title="Whether the task is being worked on right now")
    queued: bool = Field(title="Whether the task is in queue")
    completed: bool = Field(title="Whether the task has already finished")
    progress: float = Field(default=None, title="Progress", description="0 to 1")
    eta: float = Field(default=None, title="ETA in secs")
    live_preview: str = Field(default=None, title="Live preview image", description="a data: uri")
    id_live_preview: int = Field(default=None, title="Live preview image ID")
    textinfo: str = Field(default=None, title="Info text")


def fraction_done() -> float:
    """How far the running job is, 0 to 1, by jobs and by steps inside the present one."""
    state = shared.state
    if state.job_count <= 0:
        return 0.0
    jobs = float(state.job_no)
    if state.sampling_steps > 0:
        jobs += state.sampling_step / state.sampling_steps
    return min(jobs / state.job_count, 1.0)


def _preview() -> str:
    """The picture so far as a data: uri."""
    kind = shared.opts.live_previews_image_format
    with io.BytesIO() as buffer:
        shared.state.current_image.save(buffer, format=kind)
        return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def progressapi(req: ProgressRequest) -> ProgressResponse:
    """How far a task is: waiting, running or done."""
    active, queued = req.id_task == _running[0], req.id_task in pending_tasks
    answer = ProgressResponse(active=active, queued=queued, completed=req.id_task in finished_tasks)
    answer.id_live_preview = req.id_live_preview if active else -1
    if not active:
        answer.textinfo = "Waiting..."
        if queued:
            place = sorted(pending_tasks, key=lambda name: pending_tasks[name]).index(req.id_task)
            answer.textinfo = f"In queue: {place + 1}/{len(pending_tasks)}"
        return answer

    answer.progress, answer.textinfo = fraction_done(), shared.state.textinfo
    if answer.progress > 0:
        elapsed = time.time() - shared.state.time_start
        answer.eta = elapsed / answer.progress - elapsed
    if shared.opts.live_previews_enable and req.live_preview:
        shared.state.set_current_image()
        if shared.state.id_live_preview != req.id_live_preview and shared.state.current_image is not None:
            answer.live_preview, answer.id_live_preview = _preview(), shared.state.id_live_preview
    return answer


def get_pending_tasks() -> PendingTasksResponse:
    """Names of the tasks that wait."""
    return PendingTasksResponse(size=len(pending_tasks), tasks=list(pending_tasks))


def setup_progress_api(app: FastAPI) -> None:
    """Adds the two routes by which the page follows a task."""
    app.add_api_route("/internal/pending-tasks", get_pending_tasks, methods=["GET"])
    app.add_api_route("/internal/progress", progressapi, methods=["POST"], response_model=ProgressResponse)


def restore_progress(id_task: str) -> Any:
    """Waits for a task and gives what it returned, for a page that was loaded again meanwhile."""
    while id_task == _running[0] or id_task in pending_tasks:
        time.sleep(0.1)
    for name, result in recorded_results:
        if name == id_task:
            return result
    return gr.update(), gr.update(), gr.update(), f"Couldn't restore progress for {id_task}: its results are gone."
