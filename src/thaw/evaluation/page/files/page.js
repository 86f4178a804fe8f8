"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const colour = (name) => `var(--${name})`;
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
  const short = (name, most = 22) =>
    name.length > most ? `${name.slice(0, most / 2 - 1)}…${name.slice(1 - most / 2)}` : name;
  const base = (width) => ({
    width, marginBottom: 42,
    style: { background: "none", color: "var(--muted)", fontSize: "12px", fontFamily: "inherit" },
  });
  const tip = { fill: "var(--card)", stroke: "var(--strong-line)" };
  const margin = (names) => Math.min(190, 24 + 6.4 * Math.max(...names.map((n) => short(n).length)));

  // Where each phase of the training begins on the common axis of epochs.
  const starts = (curves) => {
    const found = new Map();
    for (const row of curves) if (!found.has(row.phase)) found.set(row.phase, row.at);
    return [...found].map(([phase, at]) => ({ phase, at }));
  };
  const phases = (curves) => [
    Plot.ruleX(starts(curves).slice(1), { x: (d) => d.at - 0.5, stroke: "var(--strong-line)", strokeDasharray: "3,3" }),
    // Side by side where there is room, else on two lines.
    ...starts(curves).map((start, number) => Plot.text([start], {
      x: (d) => d.at - 0.4, text: "phase", frameAnchor: "top", fill: "var(--text)",
      textAnchor: number && start.at > 0.8 * curves.at(-1).at ? "end" : "start",
      dx: number && start.at > 0.8 * curves.at(-1).at ? 20 : 0, dy: number % 2 ? -33 : -19, // above the stars at the upper edge
    })),
  ];
  const epochs = (curves) => ({
    label: "epoch, over all phases", domain: [-0.5, curves.at(-1).at + 0.5],
    ticks: d3.ticks(0, curves.at(-1).at, Math.min(curves.length, 12)).filter(Number.isInteger), tickFormat: "d",
  });

  const charts = {
    compared: (width) => twoCurves(width, "val_loss", "validation loss (nats)", (d) => d.toFixed(4)),
    comparedAccuracy: (width) => twoCurves(width, "val_accuracy", "validation accuracy", (d) => percent(d)),
    losses(width) {
      const curves = content.training.curves;
      const long = curves.flatMap((row) => [
        { ...row, kind: "training", loss: row.train_loss }, { ...row, kind: "validation", loss: row.val_loss },
      ]).filter((row) => row.loss !== null);
      const positive = Math.min(...long.map((row) => row.loss)) > 1e-6;
      return Plot.plot({
        ...base(width), height: 290, marginTop: 53, marginLeft: 52,
        x: epochs(curves), y: { type: positive ? "log" : "linear", grid: true, label: "loss (nats)", tickFormat: "~g" },
        marks: [
          ...phases(curves),
          Plot.line(long, { x: "at", y: "loss", z: (d) => d.phase + d.kind, stroke: (d) => colour(d.kind === "training" ? "c2" : "c1"), strokeWidth: 2 }),
          Plot.dot(long, { x: "at", y: "loss", fill: (d) => colour(d.kind === "training" ? "c2" : "c1"), r: 2.5 }),
          Plot.dot(curves.filter((d) => d.kept), { x: "at", y: "val_loss", symbol: "star", r: 7, fill: colour("c1"), stroke: "var(--card)" }),
          Plot.tip(long, Plot.pointer({ x: "at", y: "loss", ...tip,
            title: (d) => `${d.phase}, epoch ${d.epoch}${d.kept ? " (kept)" : ""}\n${d.kind} loss ${d.loss.toFixed(4)}` })),
        ],
      });
    },
    accuracies(width) {
      const curves = content.training.curves;
      return Plot.plot({
        ...base(width), height: 230, marginTop: 53, marginLeft: 52,
        x: epochs(curves), y: { grid: true, label: "accuracy", tickFormat: (d) => percent(d, d > 0.99 && d < 1 ? 1 : 0), nice: true },
        marks: [
          ...phases(curves),
          Plot.line(curves, { x: "at", y: "val_accuracy", z: "phase", stroke: colour("c1"), strokeWidth: 2 }),
          Plot.dot(curves, { x: "at", y: "val_accuracy", fill: colour("c1"), r: 2.5 }),
          Plot.dot(curves.filter((d) => d.kept), { x: "at", y: "val_accuracy", symbol: "star", r: 7, fill: colour("c1"), stroke: "var(--card)" }),
          Plot.tip(curves, Plot.pointer({ x: "at", y: "val_accuracy", ...tip,
            title: (d) => `${d.phase}, epoch ${d.epoch}${d.kept ? " (kept)" : ""}\naccuracy ${percent(d.val_accuracy, 2)}` })),
        ],
      });
    },
    recall(width) {
      const rows = content.test.rows.filter((row) => row.support).sort((a, b) => a.recall - b.recall || b.support - a.support).slice(0, 40);
      return Plot.plot({
        ...base(width), height: 64 + 22 * rows.length, marginLeft: margin(rows.map((d) => d.class)),
        x: { domain: [0, 1], grid: true, label: "recall", tickFormat: (d) => percent(d, 0) },
        y: { label: null, domain: rows.map((d) => d.class), tickFormat: (d) => short(d), tickSize: 0 },
        marks: [
          Plot.ruleY(rows, { y: "class", x1: "low", x2: "high", stroke: colour("c1"), strokeOpacity: 0.45, strokeWidth: 4 }),
          Plot.dot(rows, { y: "class", x: "recall", fill: colour("c1"), r: 4.5, tip,
            title: (d) => `${d.class}\n${d.hits} of ${d.support} found: ${percent(d.recall)}\n95 % interval ${percent(d.low)} to ${percent(d.high)}` }),
        ],
      });
    },
    confusion(width) {
      const { matrix, classes } = content.test;
      const cells = matrix.flatMap((row, i) => row.map((count, j) => ({
        label: classes[i], predicted: classes[j], count, share: count / Math.max(1, d3.sum(row)), right: i === j,
      })));
      const left = margin(classes);
      const side = Math.min(46, Math.max(9, (width - left - 10) / classes.length));
      const size = Math.min(width, left + 10 + side * classes.length);
      return Plot.plot({
        ...base(size), height: side * classes.length + left + 10, marginLeft: left, marginTop: 10, marginBottom: left, padding: 0.06,
        x: { label: null, domain: classes, tickFormat: (d) => short(d), tickRotate: -90, tickSize: 0 },
        y: { label: null, domain: classes, tickFormat: (d) => short(d), tickSize: 0 },
        marks: [
          Plot.cell(cells, { x: "predicted", y: "label", rx: 2, fill: (d) => d.count === 0 ? "var(--page)" : `rgba(var(${d.right ? "--heat" : "--wrong"}), ${0.18 + 0.82 * Math.sqrt(d.share)})`, tip,
            title: (d) => `label ${d.label}, answer ${d.predicted}\n${d.count} images, ${percent(d.share)} of the class` }),
          side > 17 ? Plot.text(cells.filter((d) => d.count), { x: "predicted", y: "label", text: "count",
            fill: (d) => d.share > 0.3 ? "var(--card)" : "var(--text)", pointerEvents: "none" }) : null,
        ],
      });
    },
    reliability(width) {
      const rows = content.calibration.curves;
      const of = (d) => colour(d.kind === "before" ? "c2" : "c1");
      const side = Math.min(width, 420);
      return Plot.plot({
        ...base(side), height: side * 0.8, marginLeft: 48,
        x: { domain: [0, 1], label: "probability of the answer", grid: true, tickFormat: (d) => percent(d, 0), ticks: 5 },
        y: { domain: [0, 1], label: "share that is right", grid: true, tickFormat: (d) => percent(d, 0), ticks: 5 },
        marks: [
          Plot.line([[0, 0], [1, 1]], { stroke: "var(--strong-line)", strokeDasharray: "4,4" }),
          Plot.ruleX(rows, { x: "confidence", y1: "bottom", y2: "top", stroke: of, strokeOpacity: 0.35, strokeWidth: 2 }),
          Plot.dot(rows, { x: "confidence", y: "accuracy", r: (d) => 3 + Math.min(7, Math.sqrt(d.images) / 4), fill: of, fillOpacity: 0.8, stroke: "var(--card)", tip,
            title: (d) => `${d.kind === "model" ? "" : d.kind + " calibration\n"}${d.images} images\nprobability ${percent(d.confidence)}\nright ${percent(d.accuracy)}, 95 % interval ${percent(d.bottom)} to ${percent(d.top)}` }),
        ],
        r: { type: "identity" },
      });
    },
    confidences(width) {
      const kinds = [...new Set(content.calibration.curves.map((d) => d.kind))];
      const rows = content.calibration.curves.filter((d) => d.kind === kinds.at(-1));
      const side = Math.min(width, 480);
      return Plot.plot({
        ...base(side), height: Math.min(width, 420) * 0.8, marginLeft: 48,
        x: { domain: [0, 1], label: "probability of the answer", tickFormat: (d) => percent(d, 0), ticks: 5 },
        y: { label: "images", grid: true, nice: true },
        marks: [
          Plot.rectY(rows, { x1: "low", x2: "high", y: "images", fill: colour("c1"), insetLeft: 1, insetRight: 1, rx: 2, tip,
            title: (d) => `${percent(d.low, 0)} to ${percent(d.high, 0)}\n${d.images} images, ${percent(d.accuracy)} right` }),
          Plot.ruleY([0], { stroke: "var(--strong-line)" }),
        ],
      });
    },
    heads: (width) => leaderboard(width, content.choices.heads),
    trainings: (width) => leaderboard(width, content.choices.trainings),
    counts(width) {
      const names = { train: "training", val: "validation", test: "test" };
      const shades = { train: "c1", val: "c3", test: "c2" };
      const rows = content.data.classes.slice(0, 60);
      const long = rows.flatMap((row) => Object.keys(names).map((split) => ({ class: row.class, split, images: row[split] })));
      return Plot.plot({
        ...base(width), height: 64 + Math.max(14, 22 - rows.length / 6) * rows.length, marginLeft: margin(rows.map((d) => d.class)),
        x: { grid: true, label: "images" }, y: { label: null, domain: rows.map((d) => d.class), tickFormat: (d) => short(d), tickSize: 0 },
        marks: [
          Plot.barX(long, { y: "class", x: "images", fill: (d) => colour(shades[d.split]), order: null, insetTop: 2, insetBottom: 2, tip,
            title: (d) => `${d.class}\n${names[d.split]}: ${d.images} images` }),
        ],
      });
    },
    sizes(width) {
      const rows = content.data.sizes;
      const most = Math.max(...rows.map((d) => d.images));
      return Plot.plot({
        ...base(Math.min(width, 520)), height: Math.min(width, 520) * 0.75, marginLeft: 52,
        x: { label: "width", grid: true, nice: true }, y: { label: "height", grid: true, nice: true }, r: { type: "identity" },
        marks: [
          Plot.dot(rows, { x: "width", y: "height", r: (d) => 2.5 + 8 * Math.sqrt(d.images / most), fill: colour("c1"), fillOpacity: 0.45, tip,
            title: (d) => `${d.width} × ${d.height}\n${d.images} image${d.images > 1 ? "s" : ""}` }),
        ],
      });
    },
    depth(width) {
      const rows = content.depth;
      const of = (d) => colour(d.kind === "block alone" ? "c1" : "c2");
      return Plot.plot({
        ...base(width), height: 250, marginLeft: 52,
        x: { label: "block, from the input to the head", ticks: d3.ticks(1, d3.max(rows, (d) => d.block), 12).filter(Number.isInteger), tickFormat: "d" },
        y: { grid: true, label: "accuracy", tickFormat: (d) => percent(d, 0), nice: true },
        marks: [
          Plot.ruleX(rows, { x: "block", y1: (d) => Math.max(0, d.accuracy - d.error), y2: (d) => Math.min(1, d.accuracy + d.error), stroke: of, strokeOpacity: 0.45, strokeWidth: 3 }),
          Plot.line(rows, { x: "block", y: "accuracy", z: "kind", stroke: of, strokeWidth: 2 }),
          Plot.dot(rows, { x: "block", y: "accuracy", fill: of, r: 3.5 }),
          Plot.tip(rows, Plot.pointer({ x: "block", y: "accuracy", ...tip,
            title: (d) => `${d.kind === "block alone" ? `block ${d.block} alone` : `blocks ${d.block} to the last`}\naccuracy ${percent(d.accuracy)} ± ${percent(d.error)}` })),
        ],
      });
    },
    shift(width) {
      const rows = content.network.shift;
      return Plot.plot({
        ...base(width), height: 210, marginLeft: 48,
        x: { label: "BatchNorm, from the input to the output", ticks: 10, domain: [0.5, rows.length + 0.5] },
        y: { label: "standard deviations", grid: true, nice: true, zero: true },
        marks: [
          Plot.rectY(rows, { x1: (d) => d.number - 0.42, x2: (d) => d.number + 0.42, y: "shift", fill: colour("c1"), rx: 1.5, tip,
            title: (d) => `${d.layer}\n${d.shift.toFixed(2)} standard deviations` }),
          Plot.ruleY([0], { stroke: "var(--strong-line)" }),
        ],
      });
    },
  };

  function twoCurves(width, key, label, text) {
    const marks = (result, name, size) => {
      const rows = content.curves.filter((d) => d.result === result);
      return [
        Plot.line(rows, { x: "at", y: key, z: "phase", stroke: colour(name), strokeWidth: size }),
        Plot.dot(rows, { x: "at", y: key, fill: colour(name), r: size }),
      ];
    };
    return Plot.plot({
      ...base(width), height: 240, marginLeft: 56,
      x: { label: "epoch, over all phases", tickFormat: "d", ticks: d3.ticks(0, d3.max(content.curves, (d) => d.at), 12).filter(Number.isInteger) },
      y: { grid: true, label, nice: true, tickFormat: key === "val_loss" ? "~g" : (d) => percent(d, 0) },
      marks: [
        ...marks("A", "c2", 5),  // larger: B lies over it
        ...marks("B", "c1", 2.2),
        Plot.tip(content.curves, Plot.pointer({ x: "at", y: key, ...tip,
          title: (d) => `${d.result}: ${d.phase}, epoch ${d.epoch}\n${text(d[key])}` })),
      ],
    });
  }

  function leaderboard(width, rows) {
    const names = rows.map((d) => d.name);
    const left = Math.min(290, width * 0.5, 20 + 6.3 * Math.max(...names.map((n) => n.length)));
    const most = Math.floor(left / 6.3);
    return Plot.plot({
      ...base(width), height: 64 + 22 * rows.length, marginLeft: left,
      x: { label: "log-loss (nats)", grid: true, nice: true },
      y: { label: null, domain: names, tickFormat: (d) => short(d, most), tickSize: 0 },
      marks: [
        Plot.ruleY(rows, { y: "name", x1: (d) => Math.max(0, d.log_loss - d.error), x2: (d) => d.log_loss + d.error, stroke: (d) => colour(d.chosen ? "c1" : "strong-line"), strokeWidth: 3, strokeOpacity: 0.7 }),
        Plot.dot(rows, { y: "name", x: "log_loss", r: 4.5, fill: (d) => colour(d.chosen ? "c1" : "muted"), tip,
          title: (d) => `${d.name}${d.chosen ? " (chosen)" : ""}\nlog-loss ${d.log_loss.toFixed(4)}${d.error === null ? "" : ` ± ${d.error.toFixed(4)}`}\naccuracy ${percent(d.accuracy)}` }),
      ],
    });
  }

  function draw(place) {
    const width = Math.max(240, Math.floor(place.clientWidth));
    if (place.drawn === width) return;
    place.drawn = width;
    const made = charts[place.dataset.chart](width);
    const svg = made.tagName.toLowerCase() === "svg" ? made : made.querySelector("svg");
    svg.querySelectorAll("g[aria-label]").forEach((part) => part.removeAttribute("aria-label"));
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", place.dataset.title);
    place.replaceChildren(made);
  }
  const watcher = new ResizeObserver((entries) => entries.forEach((entry) => draw(entry.target)));
  document.querySelectorAll("[data-chart]").forEach((place) => { draw(place); watcher.observe(place); });

  // Small images are shown pixel by pixel.
  document.querySelectorAll("img").forEach((image) => {
    const mark = () => image.classList.toggle("tiny", image.naturalWidth > 0 && image.naturalWidth <= 48);
    if (image.complete) mark(); else image.addEventListener("load", mark);
  });

  const value = (cell) => {
    const text = cell.textContent.trim();
    const found = parseFloat(text.replace(/,/g, ""));
    return cell.classList.contains("n") && !Number.isNaN(found) ? found : text;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    if (body.rows.length < 3) return;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => compare(value(a.cells[column]), value(b.cells[column])));
        body.replaceChildren(...(descending ? rows.reverse() : rows));
      });
    });
    if (!("filter" in table.dataset)) return;
    const box = document.createElement("div");
    box.className = "filter";
    const name = table.caption.textContent;
    const label = document.createElement("label");
    const input = document.createElement("input");
    const count = document.createElement("output");
    input.type = "search";
    label.append("Filter ", input);
    input.setAttribute("aria-label", `Filter: ${name}`);
    box.append(label, count);
    table.parentElement.before(box);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      let shown = 0;
      for (const row of body.rows) {
        row.hidden = !row.textContent.toLowerCase().includes(wanted);
        shown += !row.hidden;
      }
      count.textContent = wanted ? `${shown} of ${body.rows.length} rows` : "";
    });
  });
})();
