// Dims the fields of the panel that change nothing as the others are, with the reason as their tooltip.
// Which they are is decided in one place, motion_module/without_effect.py; the panel's hint carries it into the page.

(() => {
    const DIMMED = "animatediff-idle";

    function idleFields() {
        const hints = [...gradioApp().querySelectorAll(".animatediff-hint")];
        return Object.assign({}, ...hints.map((hint) => JSON.parse(hint.dataset.idle)));
    }

    function dim() {
        const idle = idleFields();
        for (const field of gradioApp().querySelectorAll(`.${DIMMED}`)) {
            if (!(field.id in idle)) {
                field.classList.remove(DIMMED);
                field.style.opacity = "";
                field.removeAttribute("title");
            }
        }
        for (const [id, why] of Object.entries(idle)) {
            const field = document.getElementById(id);
            if (field) {
                field.classList.add(DIMMED);
                field.style.opacity = "0.5";
                field.title = why;
            }
        }
    }

    // What an empty number field is waiting for stands in it; gradio tells nobody that a field has been emptied.
    function sayWhatIsMissing() {
        for (const box of gradioApp().querySelectorAll("[id^=script_][id*=_animatediff_] input[type=number]")) {
            const [low, high] = [box.min, box.max].map((limit) => Number(limit).toLocaleString("en"));
            box.placeholder = `${low} to ${high}`;
        }
    }

    onAfterUiUpdate(dim);
    onAfterUiUpdate(sayWhatIsMissing);
})();
