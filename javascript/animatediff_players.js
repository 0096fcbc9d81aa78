// Players for the videos of a run. Each can be paused, wound to a frame, and gives the picture that it shows:
// {element, frames, frame, paused, play(), pause(), seek(frame), picture(), close()}; `frames` is 0 where there is nothing
// to wind. They call `changed` when what they show has changed, and `failed` when they cannot show it.
// Nothing here adds or removes elements while a video plays: the host waits until that is over.

(() => {
    const MOST_BYTES = 2 ** 26; // of a moving picture whose frames are taken apart; a larger one moves by itself

    function drawn(picture, width, height) {
        const canvas = document.createElement("canvas");
        Object.assign(canvas, {width, height});
        canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
        return new Promise((done) => canvas.toBlob(done, "image/png"));
    }

    // What <video> plays, with its own controls.
    class Film {
        constructor(film, address, {changed, failed}) {
            const video = this.element = document.createElement("video");
            Object.assign(this, {frames: film.frames, fps: film.fps});
            Object.assign(video, {controls: true, loop: true, playsInline: true, preload: "auto"});
            video.addEventListener("error", () => video.isConnected && failed());
            for (const event of ["play", "pause", "seeked", "timeupdate"]) {
                video.addEventListener(event, changed);
            }
            const follow = () => {
                changed();
                video.requestVideoFrameCallback?.(follow);
            };
            video.requestVideoFrameCallback?.(follow);
            video.src = address;
        }

        get paused() {
            return this.element.paused;
        }

        get frame() {
            return Math.min(this.frames - 1, Math.floor(this.element.currentTime * this.fps + 0.01));
        }

        async play() {
            try {
                await this.element.play();
            } catch (error) {
                if (error.name === "NotAllowedError") { // browsers start no sound before somebody has clicked
                    this.element.muted = true;
                    await this.element.play().catch(() => {});
                }
            }
        }

        pause() {
            this.element.pause();
        }

        seek(frame) {
            this.element.currentTime = (frame + 0.5) / this.fps;
        }

        picture() {
            return drawn(this.element, this.element.videoWidth, this.element.videoHeight);
        }

        close() {
            this.element.pause();
            this.element.removeAttribute("src");
            this.element.load();
        }
    }

    // Frames that lie there as pictures.
    class Pictures {
        constructor(addresses) {
            this.addresses = addresses;
            this.pictures = new Map();
        }

        async open() {
            await this.get(0);
            return this.addresses.length;
        }

        async get(frame) {
            if (!this.pictures.has(frame)) {
                this.pictures.set(frame, Object.assign(new Image(), {src: this.addresses[frame]}));
            }
            await this.pictures.get(frame).decode();
            return this.pictures.get(frame);
        }

        close() {
            this.pictures.clear();
        }
    }

    // Frames of a moving picture, where the browser can take it apart.
    class MovingPicture {
        constructor(address, type, bytes) {
            Object.assign(this, {address, type, bytes});
        }

        async open() {
            if (!window.ImageDecoder || this.bytes > MOST_BYTES || !await ImageDecoder.isTypeSupported(this.type)) {
                return 0;
            }
            const data = await (await fetch(this.address)).arrayBuffer();
            this.decoder = new ImageDecoder({data, type: this.type, preferAnimation: true});
            await this.decoder.tracks.ready;
            await this.decoder.completed;
            return this.decoder.tracks.selectedTrack.frameCount;
        }

        async get(frame) {
            return (await this.decoder.decode({frameIndex: frame})).image;
        }

        close() {
            this.decoder?.close();
        }
    }

    // Leafs through frames on a canvas. Until it can, and where it cannot, the moving picture itself is there, if any.
    class FlipBook {
        constructor(film, source, address, {changed, failed}) {
            Object.assign(this, {source, changed, frames: 0, frame: 0, paused: true, turn: 0, fps: film.fps});
            this.element = document.createElement("div");
            this.canvas = document.createElement("canvas");
            Object.assign(this.canvas, {width: film.width, height: film.height});
            this.canvas.setAttribute("role", "img");
            this.canvas.setAttribute("aria-label", "The video, frame by frame");
            if (address) {
                this.still = Object.assign(new Image(), {src: address, alt: "The video"});
                this.still.addEventListener("error", failed);
                this.element.append(this.still);
            }
            this.opened = this.open().catch(() => address || failed());
        }

        async open() {
            const frames = await this.source.open();
            if (frames > 1) {
                await this.show(0);
                this.frames = frames;
                this.element.replaceChildren(this.canvas);
                this.changed();
            }
        }

        // Answers how long the frame lasts; one that comes when another is wanted already is not drawn.
        async show(frame) {
            const turn = this.turn;
            const picture = await this.source.get(frame);
            if (turn === this.turn) {
                this.canvas.getContext("2d").drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
            }
            const microseconds = picture.duration;
            picture.close?.();
            return microseconds ? microseconds / 1000 : 1000 / this.fps;
        }

        async play() {
            const turn = ++this.turn; // whoever pauses or plays anew ends what plays now
            this.paused = false;
            await this.opened;
            for (let due = performance.now(); this.frames && turn === this.turn; this.frame = (this.frame + 1) % this.frames) {
                try {
                    due = Math.max(due, performance.now() - 100) + await this.show(this.frame);
                } catch (error) {
                    return turn === this.turn && this.pause(); // the frame is gone
                }
                this.changed();
                await new Promise((done) => setTimeout(done, due - performance.now()));
                if (turn !== this.turn) {
                    return;
                }
            }
        }

        pause() {
            this.turn++;
            this.paused = true;
            this.changed();
        }

        async seek(frame) {
            this.frame = this.frames ? Math.min(frame, this.frames - 1) : frame;
            this.pause();
            await this.opened;
            await this.show(this.frame % Math.max(1, this.frames)).catch(() => {});
        }

        picture() {
            return drawn(this.frames ? this.canvas : this.still, this.canvas.width, this.canvas.height);
        }

        close() {
            this.pause();
            this.source.close();
        }
    }

    // `film`: one video of the run; `file`: that of its files which is to be shown; `addresses`: of the file, or of its frames.
    window.animatediffPlayer = (film, file, addresses, told) => {
        if (file.shown === "video") {
            return new Film(film, addresses[0], told);
        }
        if (file.shown === "frames") {
            return new FlipBook(film, new Pictures(addresses), "", told);
        }
        return new FlipBook(film, new MovingPicture(addresses[0], file.type, file.bytes), addresses[0], told);
    };
})();
