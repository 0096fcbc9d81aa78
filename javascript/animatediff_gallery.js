// Files of a run, and the host's gallery: which of its pictures stands for which video or frame, and which is selected.

(() => {
    const slashed = (path) => path.replaceAll("\\", "/");
    const nameOf = (path) => slashed(path).split("/").pop();
    const joined = (folder, name) => `${folder}${folder.includes("\\") ? "\\" : "/"}${name}`;
    const pathsOf = (file) => file.names ? file.names.map((name) => joined(file.path, name)) : [file.path];

    // Relative, because the page may be served below a path of its own; the run's time keeps browsers from showing an
    // older file of the same name.
    function addressOf(path, result) {
        const time = encodeURIComponent(JSON.parse(result.text).job_timestamp || "");
        return `file=${path.split("/").map(encodeURIComponent).join("/")}?${time}`;
    }

    // The path that a picture of the gallery is shown from.
    function shownPath(picture) {
        try {
            return slashed(decodeURIComponent(new URL(picture.src).pathname.split("/file=")[1] || ""));
        } catch (error) {
            return "";
        }
    }

    const thumbnails = (tab) => [...gradioApp().querySelectorAll(`#${tab}_gallery .thumbnails .thumbnail-item`)];
    const pathOf = (thumbnail) => shownPath(thumbnail.querySelector("img") || {});

    // Which video, and which of its frames, is shown from a path.
    function filmAt(result, path) {
        for (const film of path ? result.films : []) {
            for (const file of film.files) {
                const frame = pathsOf(file).map(slashed).indexOf(path);
                if (frame >= 0) {
                    return {film, file, frame: file.names ? frame : null};
                }
            }
            if (film.standIns.map(slashed).includes(path)) {
                return {film, file: null, frame: null};
            }
        }
        return null;
    }

    // Selects what stands for a video, or for one of its frames, so that the host's own buttons take that.
    function select(tab, result, wanted) {
        const found = thumbnails(tab).find((thumbnail) => wanted(filmAt(result, pathOf(thumbnail)) || {}));
        if (found && !found.classList.contains("selected")) {
            const active = document.activeElement;
            found.click();
            result.selected = pathOf(found);
            setTimeout(() => active.focus({preventScroll: true}), 50); // gradio takes the focus away from who has it
        }
    }

    // With fewer pictures than before, gradio selects none of them; nobody has left the last one but our slider.
    function selectFirst(tab) {
        if (!thumbnails(tab).some((thumbnail) => thumbnail.classList.contains("selected"))) {
            gradioApp().querySelector(`#${tab}_gallery .grid-wrap .thumbnail-item`)?.click();
        }
    }

    window.animatediffGallery = {addressOf, filmAt, joined, nameOf, pathOf, pathsOf, select, selectFirst, thumbnails};
})();
