// The live pages: htmx fetches what changes every two seconds; here is what keeps that honest and out of the way.
(() => {
    "use strict";

    const STALE_AFTER_MS = 10_000;
    const seenAt = new WeakMap();
    let pressing = false;
    let open = [];

    const lives = () => document.querySelectorAll("[data-live]");

    const seen = (live) => {
        seenAt.set(live, Date.now());
        live.classList.remove("cc-stale");
    };

    document.addEventListener("DOMContentLoaded", () => lives().forEach(seen));
    setInterval(() => {
        lives().forEach((live) => {
            if (Date.now() - (seenAt.get(live) ?? 0) > STALE_AFTER_MS) live.classList.add("cc-stale");
        });
    }, 1000);

    // A button that is replaced between press and release would never be clicked.
    document.addEventListener("pointerdown", () => { pressing = true; });
    for (const end of ["pointerup", "pointercancel", "blur"]) {
        window.addEventListener(end, () => setTimeout(() => { pressing = false; }, 0));
    }

    document.addEventListener("htmx:beforeSwap", (event) => {
        if (!event.target.closest?.(".cc-page") || event.detail.xhr.status >= 400) return;
        const answered = new URL(event.detail.xhr.responseURL, location.href).pathname;
        if (answered !== new URL(event.detail.pathInfo.requestPath, location.href).pathname) {
            event.detail.shouldSwap = false;  // we were sent to the login
            location.reload();
            return;
        }
        const live = event.target.closest("[data-live]");
        if (!live) return;
        if (pressing) event.detail.shouldSwap = false;
        open = [...live.querySelectorAll("details[open][id]")].map((details) => details.id);
        seen(live);
        if (event.detail.xhr.status === 286) live.removeAttribute("data-live");  // it is over: nothing more will come
    });
    document.addEventListener("htmx:afterSwap", () => {
        open.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
        open = [];
    });

    document.addEventListener("submit", (event) => {
        const question = event.submitter?.dataset.confirm;
        if (question && !confirm(question)) event.preventDefault();
    });
    // A page from the browser's memory shows an old state and holds used tokens.
    window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
