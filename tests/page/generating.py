"""Opening the panel on a page, and pressing Generate."""

PATIENCE_MS = 300_000  # several suites may run on the same machine


RUNNING = "#txt2img_results :is(.progressDiv, .livePreview), #img2img_results :is(.progressDiv, .livePreview)"
SMALL = {"width": 64, "height": 64, "steps": 2, "seed": 5}


def ask_for_small(page, tab):
    """Has the open tab make small pictures, which are the same each time."""
    for name, value in SMALL.items():
        box = page.locator(f"#{tab}_{name} input[type=number]").first
        box.fill(str(value))
        box.blur()


def unfold(page, tab="txt2img"):
    """Opens all parts of the panel."""
    page.locator(f"#script_{tab}_animatediff_panel .label-wrap:visible").evaluate_all(
        "all => all.filter((one) => !one.classList.contains('open')).forEach((one) => one.click())"
    )


def generated(page, tab="txt2img"):
    """Press Generate and wait for the end of its event, as gradio's queue tells it to the page.

    What is drawn then may be the same as before, down to the time that it took.
    """
    ended = []

    def watch(socket):
        socket.on("framereceived", lambda text: ended.append(text) if '"process_completed"' in text else None)

    page.on("websocket", watch)
    page.click(f"#{tab}_generate")
    for _ in range(PATIENCE_MS // 100):
        page.wait_for_timeout(100)
        if ended:
            break
    page.remove_listener("websocket", watch)
    assert ended, "the run has not ended"
    page.wait_for_function("running => !document.querySelector(running)", arg=RUNNING)
    page.wait_for_timeout(300)  # it is drawn
