// Below the gallery: a player for each video that the gallery cannot play, and links to the files of the run.
// Which files there are is in the run's own result (motion_module/webui/output/response.py), which the page keeps in a hidden box.

(() => {
    const TABS = ["txt2img", "img2img"];
    const PLAY_AT_ONCE = 4; // more videos than these wait for a click
    const shown = {};

    // The table of formats is in motion_module/formats.py; the panel's hint carries what is wanted here into the page.
    function formats() {
        return JSON.parse(gradioApp().querySelector(".animatediff-hint").dataset.formats);
    }

    function filesOf(result) {
        try {
            return JSON.parse(result).extra_generation_params["AnimateDiff files"] || [];
        } catch (error) {
            return []; // no result, or somebody else's
        }
    }

    // Relative, because the page may be served below a path of its own; the run's time keeps browsers from showing an
    // older file of the same name.
    function addressOf(path, result) {
        const time = encodeURIComponent(JSON.parse(result).job_timestamp || "");
        return `file=${path.split("/").map(encodeURIComponent).join("/")}?${time}`;
    }

    function nameOf(path) {
        return path.split(/[\\/]/).pop();
    }

    function player(path, address, atOnce) {
        const video = document.createElement("video");
        Object.assign(video, {controls: true, loop: true, muted: true, autoplay: atOnce, playsInline: true});
        video.preload = "metadata";
        video.title = path;
        video.style.cssText = "min-width: min(100%, 20em); max-width: 100%"; // room for the controls of a small video
        video.addEventListener("error", () => {
            const sentence = document.createElement("p");
            sentence.textContent = `This browser cannot play ${nameOf(path)}; it lies at ${path}`;
            video.replaceWith(sentence);
        });
        video.src = address;
        return video;
    }

    function link(format, path, address) {
        const anchor = document.createElement("a");
        Object.assign(anchor, {textContent: format, title: path, href: address, download: nameOf(path)});
        anchor.style.cssText = "text-decoration: underline; margin-right: 1em";
        return anchor;
    }

    function rowOf(files, result, atOnce) {
        const {played, folders} = formats();
        const row = document.createElement("div");
        const links = document.createElement("p");
        for (const [format, path] of Object.entries(files)) {
            if (folders.includes(format)) {
                continue;
            }
            const address = addressOf(path, result);
            if (played.includes(format)) {
                row.append(player(path, address, atOnce));
            }
            links.append(link(format, path, address));
        }
        if (links.children.length) {
            links.prepend("Download: ");
            row.append(links);
        }
        return row;
    }

    function placeBelow(gallery) {
        const place = document.createElement("div");
        place.className = "animatediff-videos";
        gallery.after(place);
        return place;
    }

    function show(tab) {
        const gallery = gradioApp().querySelector(`#${tab}_gallery_container`);
        const box = gradioApp().querySelector(`#generation_info_${tab} textarea`);
        if (!gallery || !box || shown[tab] === box.value) {
            return;
        }
        shown[tab] = box.value;
        const videos = filesOf(box.value);
        const place = gallery.parentElement.querySelector(":scope > .animatediff-videos") || placeBelow(gallery);
        place.replaceChildren(...videos.map((files) => rowOf(files, box.value, videos.length <= PLAY_AT_ONCE)));
    }

    onAfterUiUpdate(() => TABS.forEach(show));
})();
