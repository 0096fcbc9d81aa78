// The files of a run below its player: name, size, a link to each file itself, and a button that shows it.
// A file's own elements are kept with it (`anchor`, `button`), as what is shown changes them.

(() => {
    const {addressOf, joined, nameOf, pathsOf} = window.animatediffGallery;

    function make(tag, className, properties = {}, ...children) {
        const element = Object.assign(document.createElement(tag), {className, ...properties});
        element.append(...children);
        return element;
    }

    function button(text, press, className = "") {
        const made = make("button", `animatediff-button ${className}`, {type: "button", textContent: text});
        made.addEventListener("click", () => press(made));
        return made;
    }

    function sizeOf(bytes) {
        const units = ["bytes", "KB", "MB", "GB"];
        let place = 0;
        for (; bytes >= 999.5 && place < units.length - 1; place++) {
            bytes /= 1000;
        }
        return `${place > 1 ? bytes.toFixed(1) : Math.round(bytes)} ${units[place]}`;
    }

    // What has controls and sound goes before what only moves, and that before single frames.
    function bestOf(film) {
        return ["video", "picture", "frames"].flatMap((kind) => film.files.filter((file) => file.shown === kind))[0];
    }

    function rowOf(result, film, file, choose) {
        const path = pathsOf(file)[0];
        const anchor = make("a", "", {textContent: nameOf(path), title: path, href: addressOf(path, result), download: nameOf(path)});
        const count = file.names && new Set(file.names).size;
        const pictures = count ? [`one of ${count} picture${count > 1 ? "s" : ""} in ${nameOf(file.path)}`] : [];
        const size = file.bytes === null ? [] : [sizeOf(file.bytes)];
        const told = make("span", "animatediff-size", {textContent: [...pictures, ...size].join(", ")});
        const row = make("li", "", {}, make("span", "animatediff-format", {textContent: file.format}), anchor, told);
        if (film.files.filter((other) => other.shown).length > 1 && file.shown) {
            file.button = button("Show", () => choose(film, file), "animatediff-small");
            file.button.setAttribute("aria-label", `Show ${nameOf(file.path)}`);
            row.append(file.button);
        }
        file.anchor = anchor;
        sayWhereItLies(file, path);
        return row;
    }

    // The page may load what lies in the host's folders and what it was told of; anything else can only be named.
    async function sayWhereItLies(file, path) {
        const answer = await fetch(file.anchor.href, {method: "HEAD"}).catch(() => null);
        if (!answer?.ok) {
            file.anchor.replaceWith(`The page cannot load this file; it lies at ${path}`);
        }
    }

    function listOf(result, choose) {
        const list = make("div", "animatediff-files");
        result.films.forEach((film, number) => {
            if (result.films.length > 1) {
                film.button = button(`Video ${number + 1}`, () => choose(film, bestOf(film)), "animatediff-title");
                list.append(film.button);
            }
            list.append(make("ul", "", {}, ...film.files.map((file) => rowOf(result, film, file, choose))));
        });
        return list;
    }

    // The link to a folder of frames is to the one that is shown.
    function nameFrame(result) {
        for (const {names, path, anchor} of result.film.files.filter((file) => file.names)) {
            const shown = joined(path, names[Math.min(result.player.frame, names.length - 1)]);
            anchor.firstChild.data = nameOf(shown);
            Object.assign(anchor, {download: nameOf(shown), title: shown, href: addressOf(shown, result)});
        }
    }

    window.animatediffListing = {bestOf, button, listOf, make, nameFrame};
})();
