// Keeps the page fresh; everything works without it. It fetches the page it
// is on and puts the parts marked data-fresh in place, unless somebody types,
// selects or has focus in them. It keeps nothing and sends nothing else.
"use strict";
(() => {
  const body = document.body;
  const every = 20000; // ms between refreshes
  let running = null;  // the fetch under way

  const field = (e) => e && /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName);
  const changed = (e) =>
    e.type === "checkbox" || e.type === "radio" ? e.checked !== e.defaultChecked
      : e.tagName === "SELECT" ? [...e.options].some((o) => o.selected !== o.defaultSelected)
        : e.value !== e.defaultValue;

  // busy tells whether somebody works inside a part.
  function busy(part) {
    if (field(document.activeElement) && part.contains(document.activeElement)) return true;
    if ([...part.querySelectorAll("input:not([type=hidden]), textarea, select")].some(changed)) return true;
    const s = getSelection();
    return s && !s.isCollapsed && part.contains(s.anchorNode);
  }

  // same finds in a part what stood in another one: by id, else by address.
  function same(part, e) {
    if (e.id) return part.ownerDocument.getElementById(e.id);
    const href = e.getAttribute("href");
    return href && [...part.querySelectorAll("a")].find((a) => a.getAttribute("href") === href && a.textContent === e.textContent);
  }

  function put(part, fresh) {
    if (part.innerHTML === fresh.innerHTML || busy(part)) return;
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const open = [...part.querySelectorAll("details[id][open]")].map((d) => d.id);
    // What stands at the top of the window stays there.
    const anchor = [...part.querySelectorAll("[data-row][id]")].find((e) => e.getBoundingClientRect().top >= 0);
    const top = anchor && anchor.getBoundingClientRect().top;
    const id = anchor && anchor.id;
    const scrolled = scrollY > 0;
    part.replaceChildren(...fresh.childNodes);
    for (const d of open) document.getElementById(d)?.setAttribute("open", "");
    if (focused) same(part, focused)?.focus({ preventScroll: true });
    const again = id && document.getElementById(id);
    if (again && scrolled) scrollBy(0, again.getBoundingClientRect().top - top);
  }

  let out = false; // the session has ended: asking again is of no use

  function stale(status) {
    const fresh = document.getElementById("fresh");
    out ||= status === 403 || status === 401;
    if (!fresh || fresh.classList.contains("stale") && !out) return;
    const at = fresh.textContent.match(/[0-9:]{8}/);
    fresh.textContent = out ? body.dataset.out : body.dataset.stale.replace("%s", at ? at[0] : "–");
    fresh.classList.add("stale");
  }

  async function refresh(address) {
    running?.abort();
    const mine = (running = new AbortController());
    const limit = setTimeout(() => mine.abort("slow"), 15000);
    try {
      const answer = await fetch(address, { signal: mine.signal, cache: "no-store", redirect: "error", headers: { "X-Refresh": "1" } });
      if (!answer.ok) return stale(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (mine.signal.aborted) return;
      for (const part of document.querySelectorAll("[data-fresh][id], #nav")) {
        const fresh = page.getElementById(part.id);
        if (fresh) put(part, document.adoptNode(fresh));
      }
      const at = page.getElementById("fresh"), now = document.getElementById("fresh");
      if (at && now) {
        now.textContent = at.textContent;
        now.classList.remove("stale");
      }
      document.title = page.title;
    } catch {
      if (!mine.signal.aborted || mine.signal.reason === "slow") stale();
    } finally {
      clearTimeout(limit);
      if (running === mine) running = null;
    }
  }

  const here = () => location.pathname + location.search;
  if ("live" in body.dataset) {
    setInterval(() => { if (!document.hidden && !running && !out) refresh(here()); }, every);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(here()); });
  }

  // The search answers while one types; Enter does the same without script.
  for (const input of document.querySelectorAll("[data-search]")) {
    let wait;
    const search = () => {
      const q = new URLSearchParams(new FormData(input.form));
      if (!input.value.trim()) q.delete("q");
      const address = input.form.getAttribute("action") + (q.size ? "?" + q : "");
      history.replaceState(null, "", address);
      refresh(address);
    };
    input.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(search, 200); });
    input.form.addEventListener("submit", (e) => { e.preventDefault(); clearTimeout(wait); search(); });
  }

  // A password can be looked at while it is typed.
  for (const hidden of document.querySelectorAll(".js[hidden]")) hidden.hidden = false;
  for (const box of document.querySelectorAll("[data-show]")) {
    const input = document.getElementById(box.dataset.show);
    box.addEventListener("change", () => { input.type = box.checked ? "text" : "password"; });
    input.form.addEventListener("submit", () => { input.type = "password"; box.checked = false; });
    input.addEventListener("input", () => {
      const typed = document.getElementById("typed");
      if (typed && input.value) typed.checked = true;
    });
  }

  // refusal says why nobody would take now what is sent; "" where all is well.
  async function refusal() {
    try {
      const answer = await fetch("/aiuto", { method: "HEAD", cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(30000), headers: { "X-Refresh": "1" } });
      return answer.ok ? "" : answer.status >= 500 ? body.dataset.away : body.dataset.out;
    } catch {
      return body.dataset.away;
    }
  }

  // A decision is sent once, however often the button is pressed. Where
  // something is typed the session is tried before: the answer to a form that
  // nobody takes would be a page without what was typed.
  let left = false; // something is on its way
  for (const form of document.querySelectorAll("form[method=post]")) {
    const typed = form.querySelector("input:not([type=hidden])");
    const buttons = [...form.querySelectorAll("button")].map((b) => [b, b.textContent]);
    let sent = false, sure = false; // sure: the session was tried
    function sending(on) {
      sent = on;
      for (const [b, text] of buttons) {
        on ? b.setAttribute("aria-disabled", "true") : b.removeAttribute("aria-disabled");
        if (b.dataset.busy) b.textContent = on ? b.dataset.busy : text;
      }
    }
    function tell(why) {
      form.querySelector(".unsent")?.remove();
      if (!why) return;
      const note = document.createElement("p");
      note.className = "problem unsent";
      note.setAttribute("role", "alert");
      form.append(note);
      note.textContent = body.dataset.unsent + " " + why;
    }
    form.addEventListener("submit", async (e) => {
      if (sent) return e.preventDefault();
      sending(true);
      left = !typed || sure;
      if (left) return;
      e.preventDefault();
      const why = await refusal();
      sending(false);
      tell(why);
      if (why) return;
      sure = true;
      form.requestSubmit(e.submitter); // asks the fields again, they may have changed
      sure = false;
    });
  }
  // Back from another page: what is old is loaded anew, what is typed stays.
  addEventListener("pageshow", (e) => {
    const typed = [...document.querySelectorAll("form[method=post] input:not([type=hidden])")].some(changed);
    if (e.persisted && (left || !typed)) location.reload();
  });
  document.getElementById("problem")?.focus();

  const rows = () => [...document.querySelectorAll("[data-row]")].filter((e) => e.offsetParent !== null);
  function step(by) {
    const list = rows();
    const next = list[Math.max(0, Math.min(list.length - 1, list.indexOf(document.activeElement) + by))];
    next?.focus();
  }
  document.addEventListener("keydown", (e) => {
    const bars = document.activeElement?.closest(".plot")?.querySelectorAll("a");
    if (bars && !e.ctrlKey && !e.altKey && !e.metaKey) {
      const at = [...bars].indexOf(document.activeElement), last = bars.length - 1;
      const to = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last }[e.key];
      if (to !== undefined) return bars[to].focus(), e.preventDefault();
    }
    if (body.dataset.keys === "off" || e.ctrlKey || e.altKey || e.metaKey || e.isComposing || field(document.activeElement)) return;
    const links = document.querySelectorAll("#nav a");
    if (e.key === "/") document.querySelector("[data-search]")?.focus();
    else if (e.key === "j") step(1);
    else if (e.key === "k") step(-1);
    else if (e.key === "?") location.href = "/aiuto";
    else if (document.querySelector(`[data-key="${CSS.escape(e.key)}"]`)) {
      const target = document.querySelector(`[data-key="${CSS.escape(e.key)}"]`);
      target.focus();
      if (target.matches("a")) target.click();
    }
    else if (e.key >= "1" && e.key <= "7" && links[e.key - 1]) links[e.key - 1].click();
    else return;
    e.preventDefault();
  });
})();
