// The fields of the panel: those that change nothing as the others are get dimmed, with the reason as their tooltip;
// numbers say what they may be, and more can be typed than a slider shows.
// What is allowed and what has no effect is decided in motion_module; the panel's hint carries it into the page.

(() => {
    const DIMMED = "animatediff-idle";

    function carried(what) {
        const hints = [...gradioApp().querySelectorAll(".animatediff-hint")];
        return Object.assign({}, ...hints.map((hint) => JSON.parse(hint.dataset[what])));
    }

    function dim() {
        const idle = carried("idle");
        const titles = {...carried("tooltips"), ...idle};
        for (const field of gradioApp().querySelectorAll(`.${DIMMED}`)) {
            if (!(field.id in idle)) {
                field.classList.remove(DIMMED);
                field.title = titles[field.id] || "";
            }
        }
        for (const [id, title] of Object.entries(titles)) {
            const field = document.getElementById(id);
            if (field) {
                field.classList.toggle(DIMMED, id in idle);
                field.title = title;
            }
        }
    }

    // What an empty number field is waiting for stands in it; gradio tells nobody that a field has been emptied.
    function sayWhatIsMissing() {
        for (const [id, range] of Object.entries(carried("ranges"))) {
            for (const box of document.getElementById(id)?.querySelectorAll("input[type=number]") || []) {
                box.placeholder = range;
            }
        }
    }

    // gradio cuts a number to its slider's range when the field is left; what is allowed goes further.
    function keepWhatWasTyped(event) {
        if (event.target.matches?.(".animatediff-panel .gradio-slider input[type=number]")) {
            event.stopImmediatePropagation();
        }
    }

    // The plan follows every change. While an answer is awaited gradio drops what is asked besides, so one question is
    // asked at a time, once nothing has changed for a moment, and again where something has changed meanwhile.
    const QUIET = 300; // milliseconds
    const PATIENCE = 30000;
    const plans = {};

    function planOf(tab) {
        plans[tab] = plans[tab] || {changed: false, asked: 0, timer: null};
        return plans[tab];
    }

    function ask(tab) {
        const plan = planOf(tab);
        if (plan.asked && Date.now() - plan.asked < PATIENCE) {
            return; // its answer asks again
        }
        plan.changed = false;
        plan.asked = Date.now();
        gradioApp().querySelector(`#script_${tab}_animatediff_plan`)?.click();
    }

    window.animatediffChanged = (tab) => {
        const plan = planOf(tab);
        plan.changed = true;
        clearTimeout(plan.timer);
        plan.timer = setTimeout(() => ask(tab), QUIET);
        return [];
    };

    window.animatediffAnswered = (tab) => {
        const plan = planOf(tab);
        plan.asked = 0;
        if (plan.changed) {
            window.animatediffChanged(tab);
        }
        return [];
    };

    // The uploaded video shows the frame that its range begins or ends with.
    function showEnd(event) {
        const [, tab] = event.target.closest?.("[id*=_animatediff_video_]")?.id.match(/^script_(\w+?)_animatediff_video_(?:start|end)$/) || [];
        const video = tab && gradioApp().querySelector(`#script_${tab}_animatediff_video_source_about video`);
        if (video?.dataset.fps) {
            video.pause();
            video.currentTime = (Number(event.target.value) + 0.5) / Number(video.dataset.fps);
        }
    }

    // gradio's headers of what folds out are for the mouse alone, and its small buttons have no name.
    const NAMES = {
        preset_save: "Save the panel as a preset",
        preset_delete: "Delete the preset",
        model_refresh: "Look for motion modules again",
    };

    function openWithKeys(event) {
        if (event.key === "Enter" || event.key === " ") {
            event.preventDefault();
            event.currentTarget.click();
        }
    }

    function sayWhetherOpen(header) {
        header.setAttribute("aria-expanded", String(header.classList.contains("open")));
    }

    function serveKeyboards() {
        for (const header of gradioApp().querySelectorAll(".animatediff-panel .label-wrap")) {
            if (!header.hasAttribute("aria-expanded")) {
                header.tabIndex = 0;
                header.setAttribute("role", "button");
                header.addEventListener("keydown", openWithKeys);
                new MutationObserver(() => sayWhetherOpen(header)).observe(header, {attributeFilter: ["class"]});
                sayWhetherOpen(header);
            }
        }
        for (const [name, label] of Object.entries(NAMES)) {
            for (const button of gradioApp().querySelectorAll(`.animatediff-panel [id$=_animatediff_${name}]`)) {
                button.setAttribute("aria-label", label);
                button.title = button.title || label;
            }
        }
    }

    // Which motion modules fit, and come first, depends on the checkpoint.
    let checkpoint = null;

    function followCheckpoint() {
        if (checkpoint !== null && opts.sd_model_checkpoint !== checkpoint) {
            gradioApp().querySelectorAll(".animatediff-panel [id$=_animatediff_model_refresh]").forEach((button) => button.click());
        }
        checkpoint = opts.sd_model_checkpoint;
    }

    document.addEventListener("blur", keepWhatWasTyped, true);
    document.addEventListener("input", showEnd);
    onOptionsChanged(followCheckpoint);
    onAfterUiUpdate(dim);
    onAfterUiUpdate(sayWhatIsMissing);
    onAfterUiUpdate(serveKeyboards);
})();
