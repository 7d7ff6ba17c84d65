"use strict";
(() => {
  const $ = (selector, inside = document) => inside.querySelector(selector);
  const $$ = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const make = (name, text = "", attributes = {}) => {
    const element = document.createElement(name);
    if (text !== "") element.textContent = text;
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const data = JSON.parse($("#data").textContent);
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // --- theme -------------------------------------------------------------------------------------------------------

  let printing = false;
  const theme = () => (printing ? "light" : root.dataset.theme || (dark.matches ? "dark" : "light"));

  const toggle = $("#theme");
  const named = () => {
    const other = theme() === "dark" ? "light" : "dark";
    toggle.setAttribute("aria-label", `Switch to ${other} colours`);
    toggle.title = `Switch to ${other} colours`;
  };
  toggle.addEventListener("click", () => {
    root.dataset.theme = theme() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("order-search theme", root.dataset.theme);
    } catch (_) {
      // It is not remembered then.
    }
    named();
    redraw();
  });
  dark.addEventListener("change", () => {
    named();
    redraw();
  });
  named();

  // --- figures -----------------------------------------------------------------------------------------------------

  // As theme.themed does it: named scales and colours become those of the theme.
  const put = (part, own) => {
    if (Array.isArray(part)) return part.length && typeof part[0] === "object" && !Array.isArray(part[0]) ? part.map((one) => put(one, own)) : part;
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(
      Object.entries(part).map(([key, value]) => {
        if (key === "colorscale" && typeof value === "string") return [key, own.scales[value] || value];
        if (key === "color" && typeof value === "string") return [key, own.colours[value] || value];
        return [key, put(value, own)];
      })
    );
  };

  let loading = null;
  const load = () => (loading ||= unpack());
  async function unpack() {
    const packed = Uint8Array.from(atob($("#plotly").textContent.trim()), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    if (!window.Plotly) throw new Error("plotly.js did not start");
    return window.Plotly;
  }

  const drawn = new Set();
  const options = {
    responsive: true, displaylogo: false, displayModeBar: "hover", scrollZoom: false,
    modeBarButtons: [["toImage"]], toImageButtonOptions: { format: "svg" },
  };
  const draw = (plot) => {
    const figure = data.figures[plot.dataset.figure];
    const own = data.themes[theme()];
    const layout = { ...put(figure.layout, own), template: own.template, autosize: true };
    drawn.add(plot);
    plot.classList.remove("waiting");
    return window.Plotly.react(plot, put(figure.data, own), layout, { ...options, toImageButtonOptions: { format: "svg", filename: plot.dataset.figure } });
  };
  const redraw = () => {
    if (window.Plotly) drawn.forEach(draw);
  };
  const shown = (plot) => plot.offsetParent !== null;
  // Where plotly cannot be had, tables stand in the place of the figures.
  const give_up = () => {
    $$(".plot").forEach((plot) => plot.closest(".scroll").remove());
    $$(".picture details").forEach((one) => (one.open = true));
    $$(".no-figures").forEach((one) => (one.hidden = false));
  };
  const queue = [];
  let busy = false;
  const next = async () => {
    if (busy) return;
    busy = true;
    try {
      await load();
      while (queue.length) {
        const plot = queue.shift();
        if (!drawn.has(plot) && shown(plot)) {
          await draw(plot);
          await new Promise((done) => setTimeout(done));
        }
      }
    } catch (error) {
      console.warn(`figures cannot be drawn: ${error.message}`);
      give_up();
    }
    busy = false;
  };
  const want = (plots) => {
    queue.push(...plots.filter((plot) => !drawn.has(plot)));
    if (queue.length) next();
  };
  const seen = new IntersectionObserver((entries) => {
    want(entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target));
  }, { rootMargin: "300px" });
  $$(".plot").forEach((plot) => seen.observe(plot));

  // For print all figures are wanted, and that cannot wait for plotly: it is unpacked once the page is idle.
  const idle = window.requestIdleCallback || ((call) => setTimeout(call, 800));
  addEventListener("load", () => idle(() => load().catch(give_up)));
  const print = (on) => {
    printing = on;
    root.classList.toggle("printing", on);
    if (!window.Plotly) return;
    for (const plot of $$(".plot")) {
      if (!shown(plot)) continue;
      draw(plot);
      window.Plotly.Plots.resize(plot);
    }
  };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));

  // Groups show one picture at a time.
  $$(".group").forEach((group) => {
    const pictures = $$(".picture", group);
    const choose = (name) => {
      pictures.forEach((picture) => (picture.hidden = picture.dataset.name !== name));
      want($$(".plot", group).filter(shown));
    };
    $$("input[type=radio]", group).forEach((input) => input.addEventListener("change", () => choose(input.value)));
    const select = $("select", group);
    if (select) select.addEventListener("change", () => choose(select.value));
  });

  // --- tables ------------------------------------------------------------------------------------------------------

  const numeric = (value) => typeof value === "number";
  const written = (value, heading) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (!numeric(value)) return String(value);
    if (Number.isInteger(value)) return String(value);
    if (/^(p|q)($|_)/.test(heading)) return value < 0.001 ? "< 0.001" : value.toPrecision(2);
    return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toFixed(2);
  };
  const table = (held, caption) => {
    const made = make("table");
    made.append(make("caption", caption, { class: "hidden" }));
    const head = made.createTHead().insertRow();
    const kinds = held.columns.map((_, i) => held.rows.some((row) => numeric(row[i])));
    held.columns.forEach((name, i) => head.append(make("th", String(name).replaceAll("_", " "), { scope: "col", class: kinds[i] ? "figure" : "" })));
    const body = made.createTBody();
    held.rows.forEach((row) => {
      const line = body.insertRow();
      row.forEach((value, i) => line.append(make(i ? "td" : "th", written(value, String(held.columns[i])), { class: kinds[i] ? "figure" : "", ...(i ? {} : { scope: "row" }) })));
    });
    return made;
  };
  const csv = (held) => {
    const cell = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      // A cell that a spreadsheet would run as a formula stands as text.
      const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
      return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    return [held.columns, ...held.rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };
  $$("details[data-table]").forEach((details) => {
    details.addEventListener("toggle", () => {
      if (!details.open || details.dataset.made) return;
      details.dataset.made = "yes";
      const held = data.tables[details.dataset.table];
      const box = make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": details.dataset.caption });
      box.append(table(held, details.dataset.caption));
      const line = make("p", "", { class: "under" });
      const save = make("button", "Save as CSV", { type: "button" });
      save.addEventListener("click", () => {
        const link = make("a", "", { download: `${details.dataset.table.replace(/[^\w-]+/g, "-")}.csv`, href: URL.createObjectURL(new Blob([csv(held)], { type: "text/csv" })) });
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      });
      line.append(save);
      if (held.of > held.rows.length) line.append(make("span", ` The first ${held.rows.length.toLocaleString("en")} of ${held.of.toLocaleString("en")} rows; all of them are in the run folder.`));
      details.append(box, line);
    });
  });

  // --- the leaderboard ---------------------------------------------------------------------------------------------

  const board = $("#board");
  if (board) {
    const body = board.tBodies[0];
    const rows = [...body.rows];
    const found = rows.map((row) => ({ row, text: `${row.dataset.order} ${row.dataset.method} ${row.textContent}`.toLowerCase(), cells: [...row.cells] }));
    const value = (one, at) => one.cells[at].dataset.v ?? "";
    const sort = (th) => {
      const at = th.cellIndex;
      const first = th.dataset.better === "high" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const way = th.getAttribute("aria-sort") === first ? other : first;
      $$("th[aria-sort]", board).forEach((one) => one.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1;
      const number = th.classList.contains("figure");
      found.sort((a, b) => {
        const [x, y] = [value(a, at), value(b, at)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what is missing stands last, either way
        return sign * (number ? Number(x) - Number(y) : x.localeCompare(y, "en"));
      });
      body.append(...found.map((one) => one.row));
      say();
    };
    $$("th button", board).forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));
    const search = $("#search");
    const method = $("#method");
    const count = $("#count");
    const say = () => {
      const left = found.filter((one) => !one.row.hidden).length;
      const sorted = $("th[aria-sort]", board);
      const by = sorted ? `, by ${sorted.dataset.name}, ${sorted.getAttribute("aria-sort")}` : "";
      count.textContent = `${left.toLocaleString("en")} of ${found.length.toLocaleString("en")} candidates${by}`;
    };
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      found.forEach((one) => {
        one.row.hidden = !(words.every((word) => one.text.includes(word)) && (!method || !method.value || one.row.dataset.method === method.value));
      });
      say();
    };
    search.addEventListener("input", filter);
    if (method) method.addEventListener("change", filter);
    $$("input[data-part]").forEach((input) => {
      const put_on = () => board.classList.toggle(`no-${input.dataset.part}`, !input.checked);
      input.addEventListener("change", put_on);
      put_on();
    });
    say();
  }

  // --- languages ---------------------------------------------------------------------------------------------------

  const language = $("#language");
  if (language) {
    const page = $("#language-page");
    const headings = { score: "score ↑", robust: "robust ↑", gap: "gap to English ↓" };
    const show = () => {
      const own = data.languages.languages[language.value];
      page.replaceChildren();
      const facts = [own.family, `${own.script} script`, ...(own.fertility ? [`${own.fertility} tokens a word`] : [])];
      page.append(make("h3", own.name), make("p", facts.join(" · "), { class: "facts" }));
      const columns = [...Object.entries(own.values).map(([key, values]) => [headings[key], values]),
        ...Object.entries(own.targets).map(([key, values]) => [`${data.languages.targets[key]} ↑`, values])];
      const scores = own.values.score.filter(numeric);
      const [low, high] = [Math.min(...scores), Math.max(...scores)];
      const by = data.languages.orders.map((_, i) => i).filter((i) => own.values.score[i] !== null).sort((a, b) => own.values.score[b] - own.values.score[a]);
      const made = make("table");
      made.append(make("caption", `Candidates by their score in ${own.name}`, { class: "hidden" }));
      const head = made.createTHead().insertRow();
      head.append(make("th", "order", { scope: "col" }));
      columns.forEach(([heading]) => head.append(make("th", heading, { scope: "col", class: "figure" })));
      const body = made.createTBody();
      by.forEach((i) => {
        const line = body.insertRow();
        line.append(make("th", data.languages.orders[i], { scope: "row" }));
        columns.forEach(([, values], at) => {
          const cell = make("td", numeric(values[i]) ? values[i].toFixed(1) : "", { class: "figure" });
          if (!at && high > low) {
            cell.classList.add("bar");
            cell.style.setProperty("--at", `${Math.round((100 * (values[i] - low)) / (high - low))}%`);
          }
          line.append(cell);
        });
      });
      const box = make("div", "", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `Candidates in ${own.name}` });
      box.append(made);
      page.append(box);
      if (own.examples.length) page.append(examples(own));
    };
    // Items one by one: what the model makes of each text, clean and changed.
    const about = ["target", "id", "gold"];
    const told = ["as", "predicted", "score"];
    const signs = { right: "✓ right", wrong: "✗ wrong" };
    const examples = (own) => {
      const box = make("div", "", { class: "examples" });
      box.append(make("h4", "Examples, with what the recommended order's model says"));
      const items = new Map();
      own.examples.forEach((one) => {
        const key = JSON.stringify([one.target, one.id]);
        items.set(key, [...(items.get(key) || []), one]);
      });
      items.forEach((rows) => {
        const fields = [...new Set(rows.flatMap((one) => Object.keys(one)))].filter((key) => !about.includes(key) && !told.includes(key));
        const made = make("table");
        const caption = make("caption");
        caption.append(make("strong", rows[0].target), ` · ${rows[0].id} · gold: `, make("bdi", String(rows[0].gold)));
        made.append(caption);
        const head = made.createTHead().insertRow();
        ["text as", ...fields, "predicted", "score"].forEach((name) => head.append(make("th", name.replaceAll("_", " "), { scope: "col" })));
        const body = made.createTBody();
        rows.forEach((one) => {
          const line = body.insertRow();
          line.append(make("th", one.as, { scope: "row" }));
          [...fields, "predicted"].forEach((key) => {
            const cell = line.insertCell();
            cell.dir = "auto";
            cell.append(make("bdi", String(one[key] ?? "")));
          });
          line.append(make("td", signs[one.score] || one.score, { class: `score ${one.score}` }));
        });
        const scroll = make("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${rows[0].target}, ${rows[0].id}` });
        scroll.append(made);
        box.append(scroll);
      });
      return box;
    };
    language.addEventListener("change", show);
    show();
  }

  // --- where one is ------------------------------------------------------------------------------------------------

  const links = new Map($$("nav a").map((link) => [link.hash.slice(1), link]));
  const here = new IntersectionObserver((entries) => {
    entries.forEach((entry) => {
      if (!entry.isIntersecting) return;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    });
  }, { rootMargin: "-10% 0px -80% 0px" });
  $$("main section[id]").forEach((section) => here.observe(section));
})();
