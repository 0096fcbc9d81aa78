// The page's own script: what extensions' scripts may use, and how a generation is begun and followed.

function gradioApp() {
    const apps = document.getElementsByTagName("gradio-app");
    const root = apps.length ? apps[0] : document;
    if (root !== document) {
        root.getElementById = (id) => document.getElementById(id);
    }
    return root.shadowRoot || root;
}

function get_uiCurrentTab() {
    return gradioApp().querySelector("#tabs > .tab-nav > button.selected");
}

function get_uiCurrentTabContent() {
    return gradioApp().querySelector('#tabs > .tabitem[id^=tab_]:not([style*="display: none"])');
}

const pageCallbacks = {loaded: [], update: [], afterUpdate: [], tabChange: [], optionsChanged: []};
var opts = {};

function onUiLoaded(callback) {
    pageCallbacks.loaded.push(callback);
}

function onUiUpdate(callback) {
    pageCallbacks.update.push(callback);
}

function onAfterUiUpdate(callback) {
    pageCallbacks.afterUpdate.push(callback);
}

function onUiTabChange(callback) {
    pageCallbacks.tabChange.push(callback);
}

function onOptionsChanged(callback) {
    pageCallbacks.optionsChanged.push(callback);
}

// The settings lie in a hidden box, whose value gradio sets without an event.
function followSettings() {
    const box = gradioApp().querySelector("#settings_json textarea");
    if (!box || Object.hasOwn(box, "value")) {
        return;
    }
    const stored = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
    const read = () => {
        if (stored.get.call(box)) {
            opts = JSON.parse(stored.get.call(box));
            runPageCallbacks("optionsChanged");
        }
    };
    const write = (text) => {
        stored.set.call(box, text);
        read();
    };
    Object.defineProperty(box, "value", {get: () => stored.get.call(box), set: write});
    read();
}

onAfterUiUpdate(followSettings);

function runPageCallbacks(name, argument) {
    for (const callback of pageCallbacks[name]) {
        try {
            callback(argument);
        } catch (error) {
            console.error("a callback of the page failed", callback, error);
        }
    }
}

document.addEventListener("DOMContentLoaded", () => {
    let loaded = false;
    let timer = null;
    let tab = null;
    const observer = new MutationObserver((records) => {
        if (!loaded && gradioApp().querySelector("#txt2img_prompt")) {
            loaded = true;
            runPageCallbacks("loaded");
        }
        runPageCallbacks("update", records);
        clearTimeout(timer);
        timer = setTimeout(() => runPageCallbacks("afterUpdate"), 200);
        const current = get_uiCurrentTab();
        if (current && current !== tab) {
            tab = current;
            runPageCallbacks("tabChange");
        }
    });
    observer.observe(gradioApp(), {childList: true, subtree: true});
});

// Tells gradio that a value was changed by a script.
function updateInput(target) {
    const event = new Event("input", {bubbles: true});
    Object.defineProperty(event, "target", {value: target});
    target.dispatchEvent(event);
}

// An InputAccordion is a hidden checkbox and an accordion; each follows the other.
function setUpAccordion(accordion) {
    const head = accordion.querySelector(".label-wrap");
    const hidden = gradioApp().querySelector(`#${accordion.id}-checkbox input`);
    if (!head || !hidden) {
        return;
    }
    const box = document.createElement("input");
    box.type = "checkbox";
    box.id = `${accordion.id}-visible-checkbox`;
    box.checked = hidden.checked;
    box.className = hidden.className; // gradio styles its own boxes by class
    head.querySelector("span").prepend(box);
    const extra = gradioApp().querySelector(`#${accordion.id}-extra`);
    if (extra) {
        head.insertBefore(extra, head.lastElementChild);
    }
    const set = (checked) => {
        box.checked = checked;
        if (head.classList.contains("open") !== checked) {
            head.click();
        }
        if (hidden.checked !== checked) {
            hidden.checked = checked;
            updateInput(hidden);
        }
    };
    accordion.setChecked = set;
    box.addEventListener("click", (event) => event.stopPropagation());
    box.addEventListener("input", () => set(box.checked));
    new MutationObserver(() => set(head.classList.contains("open")))
        .observe(head, {attributes: true, attributeFilter: ["class"]});
}

function inputAccordionChecked(id, checked) {
    const accordion = gradioApp().getElementById(id);
    if (accordion && accordion.setChecked) {
        accordion.setChecked(checked);
    }
}

onUiLoaded(() => gradioApp().querySelectorAll(".input-accordion").forEach(setUpAccordion));

function selected_gallery_index() {
    const buttons = [...gradioApp().querySelectorAll("[id$=_gallery] .thumbnails > .thumbnail-item")];
    return buttons.findIndex((button) => button.classList.contains("selected"));
}

function askProgress(body) {
    return fetch("./internal/progress", {
        method: "POST",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify(body),
    }).then((answer) => answer.json());
}

// Follows a task until it is over: a bar above `container`, and the picture so far in `gallery` (null: none).
function requestProgress(task, container, gallery, atEnd, onProgress, inactivityTimeout = 40) {
    const begun = Date.now();
    const bar = document.createElement("div");
    const inner = document.createElement("div");
    bar.className = "progressDiv";
    inner.className = "progress";
    bar.append(inner);
    container.parentNode.insertBefore(bar, container);
    let over = false;
    let wasActive = false;
    let livePreview = null;

    const end = () => {
        if (!over) {
            over = true;
            bar.remove();
            livePreview?.remove();
            atEnd();
        }
    };
    const later = (call) => setTimeout(() => call().catch(end), 500);

    const follow = async() => {
        const state = await askProgress({id_task: task, live_preview: false});
        wasActive = wasActive || state.active;
        const waited = Date.now() - begun > inactivityTimeout * 1000;
        if (state.completed || (!state.active && (wasActive || (waited && !state.queued)))) {
            end();
            return;
        }
        const percent = Math.round((state.progress || 0) * 100);
        inner.style.width = `${percent}%`;
        inner.textContent = `${state.textinfo || ""} ${state.progress ? `${percent}%` : ""}`;
        onProgress?.(state);
        later(follow);
    };

    const preview = async(last) => {
        const state = await askProgress({id_task: task, id_live_preview: last});
        if (over) {
            return;
        }
        if (state.live_preview) {
            const picture = new Image();
            picture.onload = () => {
                if (!livePreview) {
                    livePreview = document.createElement("div");
                    livePreview.className = "livePreview";
                    gallery.insertBefore(livePreview, gallery.firstElementChild);
                }
                livePreview.replaceChildren(picture);
            };
            picture.src = state.live_preview;
        }
        later(() => preview(state.id_live_preview));
    };

    later(follow);
    if (gallery) {
        later(() => preview(0));
    }
}

function submitTask(tab, values) {
    const id = `task(${Math.random().toString(36).slice(2)})`;
    const place = (name) => gradioApp().querySelector(`#${tab}_${name}`);
    requestProgress(id, place("gallery_container"), place("gallery"), () => {});
    return [id, ...Array.from(values).slice(1)];
}

function submit_txt2img(...values) {
    return submitTask("txt2img", values);
}

function submit_img2img(...values) {
    return submitTask("img2img", values);
}

function clickTab(position) {
    const buttons = gradioApp().querySelectorAll("#tabs > .tab-nav > button");
    if (buttons[position]) {
        buttons[position].click();
    }
    return [];
}

function switch_to_txt2img() {
    return clickTab(0);
}

function switch_to_img2img() {
    return clickTab(1);
}

function recalculate_prompts_txt2img(...values) {
    return values;
}

function recalculate_prompts_img2img(...values) {
    return values;
}
