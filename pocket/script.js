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

// Follows a task until it is done, and says in the page how far it is.
function followTask(tab, id) {
    const place = gradioApp().querySelector(`#${tab}_progress_text`);
    const ask = async() => {
        const answer = await fetch("./internal/progress", {
            method: "POST",
            headers: {"Content-Type": "application/json"},
            body: JSON.stringify({id_task: id, live_preview: false}),
        });
        const state = await answer.json();
        if (state.completed) {
            place.textContent = "";
            return;
        }
        const percent = Math.round((state.progress || 0) * 100);
        place.textContent = state.active ? `${percent}% ${state.textinfo || ""}` : state.textinfo || "";
        setTimeout(ask, 500);
    };
    setTimeout(ask, 500);
}

function submitTask(tab, values) {
    const id = `task(${Math.random().toString(36).slice(2)})`;
    followTask(tab, id);
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
