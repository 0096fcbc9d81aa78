// While a video is sampled, the live-preview slot shows its frames so far moving, and which step and window is on.
// They come from motion_module/webui/routes/live_preview.py; the page's own still preview stays below them.

(() => {
    const ADDRESS = "./animatediff/live-preview"; // relative, because the page may be served below a path of its own
    const PAUSE = 1000; // milliseconds between two questions
    const OURS = "AnimateDiff: "; // what the text of a run of ours begins with

    // The slot of one run, from its first moving picture to its end.
    class MovingPreview {
        constructor(task, gallery) {
            Object.assign(this, {task, gallery, known: 0, asked: 0, over: false, address: null});
            this.slot = document.createElement("div");
            this.slot.className = "livePreview animatediff-live-preview";
            this.slot.style.cssText = "display: flex; flex-direction: column";
            this.caption = document.createElement("div");
            this.caption.style.cssText = "padding: 0.5em; text-align: center";
            this.slot.append(this.caption);
        }

        // Called each time the page has heard how far a run is.
        heard(state) {
            const text = state.textinfo || "";
            if (this.over || !state.active || !text.startsWith(OURS)) {
                return;
            }
            this.caption.textContent = text.slice(OURS.length);
            if (Date.now() - this.asked >= PAUSE && opts.live_previews_enable !== false) {
                this.asked = Date.now();
                this.ask().catch(() => {}); // a preview less
            }
        }

        async ask() {
            const answer = await fetch(`${ADDRESS}?id_task=${encodeURIComponent(this.task)}&known=${this.known}`);
            if (answer.status !== 200) {
                return;
            }
            this.known = Number(answer.headers.get("animatediff-preview"));
            this.show(URL.createObjectURL(await answer.blob()));
        }

        show(address) {
            const picture = new Image();
            picture.alt = "Live preview of the video";
            picture.style.cssText = "position: static; flex: 1; width: 100%; min-height: 0; object-fit: contain";
            picture.onload = () => {
                if (this.over) {
                    URL.revokeObjectURL(address);
                    return;
                }
                URL.revokeObjectURL(this.address);
                this.address = address;
                this.slot.querySelector("img")?.remove();
                this.slot.prepend(picture);
                if (!this.slot.isConnected) {
                    // behind the page's own still, so that it lies over that
                    const own = this.gallery.querySelector(":scope > .livePreview");
                    this.gallery.insertBefore(this.slot, own ? own.nextSibling : this.gallery.firstChild);
                }
            };
            picture.onerror = () => URL.revokeObjectURL(address);
            picture.src = address;
        }

        end() {
            this.over = true;
            this.slot.remove();
            URL.revokeObjectURL(this.address);
        }
    }

    // Both tabs follow a run by this function of the page.
    onUiLoaded(() => {
        const follow = window.requestProgress;
        if (typeof follow !== "function") {
            return;
        }
        window.requestProgress = (task, container, gallery, atEnd, onProgress, ...rest) => {
            if (!gallery) {
                return follow(task, container, gallery, atEnd, onProgress, ...rest);
            }
            const preview = new MovingPreview(task, gallery);
            const ended = () => {
                preview.end();
                atEnd();
            };
            const heard = (state) => {
                preview.heard(state);
                onProgress?.(state);
            };
            return follow(task, container, gallery, ended, heard, ...rest);
        };
    });
})();
