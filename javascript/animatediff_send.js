// Sends what a run has made to the img2img tab: frames as a batch, a video as the panel's source, or one picture. What has
// no place on the page is not offered.

(() => {
    const PANEL = "#script_img2img_animatediff";
    const PATIENCE = 5000; // milliseconds, until gradio has an empty field again

    const find = (selector) => gradioApp().querySelector(selector);

    function type(box, text) {
        if (box) {
            box.value = text;
            updateInput(box);
            box.dispatchEvent(new Event("blur"));
        }
    }

    // A file field has an input only while it is empty.
    async function empty(field) {
        const clear = '[aria-label="Clear"], [title="Clear"], [aria-label="Remove Image"]';
        const until = Date.now() + PATIENCE;
        while (!field.querySelector("input[type=file]") && Date.now() < until) {
            field.querySelector(clear)?.click();
            await new Promise((done) => setTimeout(done, 50));
        }
        return field.querySelector("input[type=file]");
    }

    async function put(field, blob, name) {
        const input = await empty(field);
        if (input) {
            const files = new DataTransfer();
            files.items.add(new File([blob], name, {type: blob.type}));
            input.files = files.files;
            input.dispatchEvent(new Event("change", {bubbles: true}));
        }
    }

    // Chooses the tabs that a field stands on, the outer ones first.
    function reveal(field) {
        const item = field?.parentElement?.closest(".tabitem");
        if (item) {
            reveal(item);
            const place = [...item.parentElement.children].filter((other) => other.matches(".tabitem")).indexOf(item);
            item.parentElement.querySelectorAll(":scope > .tab-nav > button")[place]?.click();
        }
    }

    // Opens the part of the panel that a field stands in.
    function unfold(field) {
        const header = field?.closest(".gradio-accordion")?.querySelector(":scope > .label-wrap");
        if (header?.nextElementSibling?.style.display === "none") {
            header.click();
        }
    }

    // The size of what is sent, and the prompts, where there are none yet.
    function fillTab(film) {
        type(find("#img2img_width input[type=number]"), film.width);
        type(find("#img2img_height input[type=number]"), film.height);
        for (const name of ["prompt", "neg_prompt"]) {
            const box = find(`#img2img_${name} textarea`);
            if (box && !box.value) {
                type(box, find(`#txt2img_${name} textarea`)?.value || "");
            }
        }
    }

    // The batch tab makes of each picture of a folder a frame, and control units look at them, too.
    function fillBatch(film, folder) {
        const box = find("#img2img_batch_input_dir textarea, #img2img_batch_input_dir input");
        reveal(box);
        type(find(`${PANEL}_fps input[type=number]`), film.fps);
        type(box, folder);
    }

    // `film`: the video; `file`: that of its files which is sent: named where it is a folder of frames, else uploaded.
    async function video(film, file, address, name) {
        const upload = find(`${PANEL}_video_source`);
        window.inputAccordionChecked?.(`${PANEL.slice(1)}_enable`, true);
        fillTab(film);
        if (file.names) {
            return fillBatch(film, file.path);
        }
        reveal(upload);
        unfold(upload);
        type(find(`${PANEL}_video_path textarea, ${PANEL}_video_path input`), "");
        await put(upload, await (await fetch(address)).blob(), name);
    }

    // A frame, as it is: the tab would else squeeze it into the size that stands there.
    async function picture(film, blob) {
        const field = find("#img2img_image");
        fillTab(film);
        reveal(field);
        if (field && blob) {
            await put(field, blob, "frame.png");
        }
    }

    // The panel of a tab goes on with a video: `path` is one of its files, or its folder of frames.
    function continueFrom(tab, film, path) {
        const box = find(`#script_${tab}_animatediff_continue_from :is(input, textarea)`);
        window.inputAccordionChecked?.(`script_${tab}_animatediff_enable`, true);
        type(find(`#${tab}_width input[type=number]`), film.width);
        type(find(`#${tab}_height input[type=number]`), film.height);
        unfold(box);
        type(box, path);
        box.scrollIntoView({block: "center"});
    }

    window.animatediffSend = {
        continueFrom,
        continues: (tab) => Boolean(find(`#script_${tab}_animatediff_continue_from`)),
        takesVideos: () => Boolean(find(`${PANEL}_video_source`)),
        takesPictures: () => Boolean(find("#img2img_image")),
        video,
        picture,
    };
})();
