// A page on a disk may not start a worker, which the search needs: there a frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class {
    onmessage = null;
    onerror = null;
    onmessageerror = null;
    #frame = document.createElement("iframe");
    #ready;
    constructor(url) {
      this.#frame.hidden = true;
      this.#ready = new Promise((resolve) => {
        this.#frame.onload = () => {
          const inside = this.#frame.contentWindow;
          inside.postMessage = (data) => setTimeout(() => this.onmessage?.({ data }));
          const script = inside.document.createElement("script");
          script.src = new URL(url, location.href);
          script.onload = () => resolve(inside);
          script.onerror = (event) => this.onerror?.(event);
          inside.document.body.append(script);
        };
      });
      document.body.append(this.#frame);
    }
    postMessage(data) {
      this.#ready.then((inside) => inside.onmessage({ data }));
    }
    terminate() {
      this.#frame.remove();
    }
  };
}
