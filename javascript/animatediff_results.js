// What a run has made, in the gallery's place: a player for the video that is selected there, a slider through its
// frames, and below it all files. The host's gallery stays: it is hidden only while a player shows what stands in it.
// Which files there are is in the run's own result (motion_module/webui/output/told.py), which the page keeps in a
// hidden box; animatediff_listing.js lists them, animatediff_players.js plays them, animatediff_gallery.js
// knows what stands where in the host's gallery.

(() => {
    const TABS = ["txt2img", "img2img"];
    const NOTHING = {films: [], film: null, file: null, player: null, selected: "", inGallery: false, wasHidden: false};
    const results = {};

    const {addressOf, filmAt, nameOf, pathOf, pathsOf, select, selectFirst, thumbnails} = window.animatediffGallery;
    const {bestOf, button, listOf, make, nameFrame} = window.animatediffListing;

    const find = (selector) => gradioApp().querySelector(selector);
    const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

    function filmsOf(text) {
        try {
            return JSON.parse(text).extra_generation_params["AnimateDiff page"] || [];
        } catch (error) {
            return []; // no result, or somebody else's
        }
    }

    function follow(tab, result) {
        const thumbnail = thumbnails(tab).find((item) => item.classList.contains("selected"));
        const selected = thumbnail ? pathOf(thumbnail) : "";
        if (!result.films.length || selected === result.selected) {
            return;
        }
        const found = filmAt(result, selected);
        const fresh = !result.selected;
        result.selected = selected;
        if (!found || result.inGallery) {
            return close(tab, result);
        }
        const picture = !fresh && found.file?.shown === "picture" ? found.file : null;
        if (result.film !== found.film || !result.player) {
            open(tab, result, found.film, (result.file?.shown === "picture" && picture) || bestOf(found.film));
        } else if (picture && picture !== result.file) {
            open(tab, result, found.film, picture);
        }
        if (found.frame !== null && !fresh && result.player && result.player.frame !== found.frame) {
            result.player.pause();
            result.player.seek(found.frame);
        }
    }

    // ---- elements

    function stageOf(tab, result) {
        const count = document.createTextNode(""); // a changed text is no changed element, for which the host would wait
        const slider = make("input", "animatediff-slider", {type: "range", min: 1, step: 1, value: 1});
        const parts = {
            count,
            slider,
            screen: make("div", "animatediff-screen"),
            play: button("Pause", () => result.player.paused ? result.player.play() : result.player.pause()),
        };
        slider.addEventListener("input", () => {
            const frame = slider.value - 1; // before pausing moves it to what is shown
            result.player.pause();
            result.player.seek(frame);
        });
        slider.addEventListener("change", () => {
            select(tab, result, ({film, frame}) => film === result.film && frame === slider.value - 1);
        });
        const label = make("label", "animatediff-frame", {}, "Frame", slider);
        parts.bar = make("div", "animatediff-bar", {}, parts.play, label, make("span", "animatediff-count", {}, count));
        parts.stage = make("div", "animatediff-stage", {hidden: true}, parts.screen, parts.bar);
        return parts;
    }

    function sendersOf(tab, result) {
        const send = window.animatediffSend;
        result.toggle = button("Show the gallery", () => toggle(tab, result));
        const buttons = make("div", "animatediff-senders", {}, result.toggle);
        if (send?.takesVideos()) {
            buttons.append(button("Send video to img2img", async() => {
                const {film} = result;
                const file = film.files.find((some) => some.names) || result.file;
                await send.video(film, file, addressOf(file.path, result), nameOf(file.path));
            }, "animatediff-send"));
        }
        if (send?.takesPictures()) {
            buttons.append(button("Send this frame to img2img", async() => {
                const {film, player} = result;
                player.pause();
                send.picture(film, await player.picture());
            }, "animatediff-send"));
        }
        if (send?.continues(tab)) {
            buttons.append(button("Go on from here", () => {
                const file = result.film.files.find((some) => some.names) || result.file;
                send.continueFrom(tab, result.film, file.path);
            }, "animatediff-send"));
        }
        return buttons;
    }

    // ---- the player

    function choose(tab, result, film, file) {
        if (result.film === film && result.file === file && result.player) {
            return;
        }
        select(tab, result, (found) => found.film === film);
        open(tab, result, film, file);
    }

    // The host's own gallery has what the player has not: its enlarged view, and whatever other extensions add to it.
    function toggle(tab, result) {
        result.inGallery = Boolean(result.player);
        if (result.inGallery) {
            close(tab, result);
        } else {
            result.selected = "";
            follow(tab, result);
        }
    }

    function open(tab, result, film, file) {
        close(tab, result);
        if (!file) {
            return;
        }
        const {stage, screen} = result.parts;
        const addresses = pathsOf(file).map((path) => addressOf(path, result));
        const told = {
            changed: () => sayFrame(result),
            failed: () => screen.replaceChildren(`This browser cannot show ${nameOf(file.path)}; it lies at ${file.path}`),
        };
        Object.assign(result, {film, file, player: window.animatediffPlayer(film, file, addresses, told)});
        screen.style.setProperty("--animatediff-height", `${film.height}px`);
        screen.replaceChildren(result.player.element);
        stage.hidden = false;
        result.inGallery = false;
        result.container.classList.add("animatediff-replaced");
        result.container.classList.toggle("animatediff-alone", thumbnails(tab).length < 2);
        mark(result);
        sayFrame(result);
        if (!still()) {
            result.player.play();
        }
    }

    function close(tab, result) {
        result.player?.close();
        Object.assign(result, {film: null, file: null, player: null});
        result.parts.screen.replaceChildren();
        result.parts.stage.hidden = true;
        result.container.classList.remove("animatediff-replaced", "animatediff-alone");
        mark(result);
    }

    function mark(result) {
        result.toggle.hidden = !result.films.some(bestOf); // else there is nothing that a browser plays
        result.toggle.firstChild.data = result.player ? "Show the gallery" : "Show the player";
        result.senders.querySelectorAll(".animatediff-send").forEach((sender) => {
            sender.disabled = !result.player;
        });
        for (const film of result.films) {
            film.button?.setAttribute("aria-pressed", String(film === result.film));
            film.files.forEach((file) => file.button?.setAttribute("aria-pressed", String(file === result.file)));
        }
    }

    function sayFrame(result) {
        const {parts: {slider, count, play, bar}, player} = result;
        if (!player) {
            return;
        }
        bar.hidden = player.frames < 2;
        slider.max = player.frames;
        slider.value = player.frame + 1;
        count.data = `${player.frame + 1} of ${player.frames}`;
        play.firstChild.data = player.paused ? "Play" : "Pause";
        nameFrame(result);
    }

    // ---- the page

    function parametersOf(tab) {
        const text = find(`#html_info_${tab}`);
        if (!text) {
            return null;
        }
        const opener = button("Parameters", () => {
            const closed = text.classList.toggle("animatediff-closed");
            opener.setAttribute("aria-expanded", String(!closed));
        }, "animatediff-parameters");
        opener.setAttribute("aria-expanded", "false");
        opener.setAttribute("aria-controls", text.id);
        text.classList.add("animatediff-closed");
        text.before(opener);
        return opener;
    }

    function clear(tab, result) {
        close(tab, result);
        [result.parts.stage, result.list, result.senders, result.opener].forEach((element) => element?.remove());
        find(`#html_info_${tab}`)?.classList.remove("animatediff-closed");
        results[tab] = null;
    }

    function begin(tab, container, text) {
        const result = results[tab] = {...NOTHING, text, films: filmsOf(text), container};
        if (!result.films.length) {
            return;
        }
        const list = listOf(result, (film, file) => choose(tab, result, film, file));
        Object.assign(result, {parts: stageOf(tab, result), list, senders: sendersOf(tab, result)});
        result.opener = parametersOf(tab);
        container.before(result.parts.stage);
        container.after(result.senders, result.list);
        close(tab, result);
    }

    function listen(tab, gallery) {
        if (!gallery.dataset.animatediff) {
            gallery.dataset.animatediff = "followed";
            const later = () => setTimeout(() => show(tab), 50); // once gradio has done what was pressed
            gallery.addEventListener("click", later);
            gallery.addEventListener("keydown", later);
        }
    }

    // The host shows in its gallery how far a run is.
    function isRunning(container) {
        return Boolean(container.parentElement.querySelector(":scope > .progressDiv, .livePreview"));
    }

    function show(tab) {
        const container = find(`#${tab}_gallery_container`);
        const gallery = find(`#${tab}_gallery`);
        const box = find(`#generation_info_${tab} textarea`);
        if (!container || !gallery || !box) {
            return;
        }
        listen(tab, gallery);
        if (results[tab]?.text !== box.value) {
            const before = results[tab]?.films.length;
            if (before) {
                clear(tab, results[tab]);
            }
            if (before || filmsOf(box.value).length) {
                selectFirst(tab);
            }
            begin(tab, container, box.value);
            window.animatediffChanged?.(tab); // how long a run takes is known now
        }
        const result = results[tab];
        if (!isRunning(container)) {
            follow(tab, result);
        } else if (result.player) {
            close(tab, result);
            result.selected = ""; // it comes back if nothing comes of the run
        }
    }

    // What nobody sees makes no sound, and goes on when it is seen again.
    function pauseHidden() {
        for (const result of Object.values(results).filter((some) => some?.player)) {
            const isHidden = !result.container.offsetParent;
            if (isHidden && !result.player.paused) {
                result.player.pause();
                result.wasHidden = true;
            } else if (!isHidden && result.wasHidden) {
                result.player.play();
                result.wasHidden = false;
            }
        }
    }

    onAfterUiUpdate(() => TABS.forEach(show));
    onUiTabChange(pauseHidden);
})();
