// The page: one asset at a time, one view, everything drawn at most once a screen frame.

const find = (id) => document.getElementById(id);

const make = (name, text = "", kind = "") => {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

const showFault = (text) => {
  find("fault").textContent = `The curves could not be drawn: ${text}`;
  find("fault").hidden = false;
  document.documentElement.dataset.state = "failed";
};
window.addEventListener("error", (event) => showFault(event.message));

class Page {
  constructor(data) {
    this.data = data;
    this.tracks = data.assets.map(() => null);
    this.stack = find("stack");
    this.view = new View(() => this.later());
    this.theme = readTheme();
    this.row = null;
    this.pending = false;
    this.buildPanels();
    this.buildPicker();
    this.listen();
    this.choose(0);
  }

  buildPanels() {
    const count = this.data.channels.length;
    this.stack.style.setProperty("--tall", count === 1 ? "220px" : count <= 3 ? "150px" : "104px");
    this.panels = this.data.channels.map((channel) => {
      const panel = make("div", "", "panel");
      const head = make("div", "", "head");
      const name = make("h3", `${channel.name} `);
      if (channel.unit) name.append(make("small", channel.unit));
      const output = make("output");
      const canvas = make("canvas");
      canvas.setAttribute("role", "img");
      head.append(name, output);
      panel.append(head, canvas);
      find("channels").append(panel);
      return { panel, output, canvas };
    });
    const score = find("score-panel");
    this.scorePanel = { output: score.querySelector("output"), canvas: score.querySelector("canvas") };
  }

  buildPicker() {
    const select = find("asset");
    this.data.assets.forEach(({ name, episodes }, i) => {
      const count = episodes.length ? ` (${episodes.length})` : "";
      const option = make("option", `${name}${count}`);
      option.value = String(i);
      select.append(option);
    });
    find("pick").hidden = this.data.assets.length < 2;
    select.addEventListener("change", () => this.choose(Number(select.value)));
  }

  listen() {
    const { view, stack } = this;
    const area = () => this.area();
    listenGestures(stack, {
      view, area,
      select: (from, to, done) => this.select(from, to, done),
      read: (share) => this.read(share === null ? null : this.rowOf(share)),
      zooms: (target) => find("pinned").contains(target),
    });
    listenMap(find("map"), { view, area });
    const actions = { earlier: () => view.pan(-0.3), later: () => view.pan(0.3), in: () => view.zoom(0.5), out: () => view.zoom(2), all: () => view.all() };
    Object.entries(actions).forEach(([id, action]) => find(id).addEventListener("click", action));
    stack.addEventListener("keydown", (event) => this.key(event));
    find("cut").addEventListener("change", () => this.remap(true));
    document.querySelectorAll("tr[data-episode]").forEach((row) => {
      row.addEventListener("click", () => this.showEpisode(Number(row.dataset.asset), Number(row.dataset.episode)));
    });
    window.addEventListener("scroll", () => this.later(), { passive: true });
    window.addEventListener("beforeprint", () => this.draw(true));
    new ResizeObserver(() => this.later()).observe(stack);
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => { this.theme = readTheme(); this.later(); });
  }

  choose(index) {
    this.index = index;
    this.tracks[index] ??= new Track(this.data.assets[index], this.data.channels);
    this.track = this.tracks[index];
    this.episode = null;
    find("asset").value = String(index);
    this.offerCut();
    this.remap(false);
    this.fitGutter();
    this.describe();
    this.read(null);
  }

  /** Cutting gaps out is offered when there are any, and on when they take a fifth of the time. */
  offerCut() {
    const { segments } = new TimeMap(this.track, false);
    const gone = segments.reduce((sum, one, i) => sum + (i ? one.from - segments[i - 1].to : 0), 0);
    find("cut-label").hidden = gone === 0;
    find("gap-key").hidden = gone === 0;
    find("cut").checked = gone > this.track.last * 0.2;
    const count = segments.length - 1;
    find("cut-text").textContent = `Shorten ${count} gap${count === 1 ? "" : "s"} (${spanText(gone)})`;
  }

  /** Lay the rows out again; `keep` stays at the times in view. */
  remap(keep) {
    const { track, view } = this;
    const before = keep ? [this.map.time(view.from), this.map.time(view.to), view.span >= view.high - view.low] : null;
    this.map = new TimeMap(track, find("cut").checked);
    this.places = track.times.map((time) => this.map.place(time));
    const { segments } = this.map;
    this.marks = {
      unscored: ["warming", "paused", "commissioning"].flatMap((name) => track.spansOf(name)),
      gaps: segments.slice(1).map((one, i) => ({ from: segments[i].to, to: one.from })),
    };
    view.reset(this.map.end, track.period * 8);
    if (before && !before[2]) view.set(this.map.place(before[0]), this.map.place(before[1]));
    this.later();
  }

  /** Room for the longest number at the left, measured once an asset so that zooming moves nothing. */
  fitGutter() {
    const pen = find("map").getContext("2d");
    pen.font = FONT;
    const widths = this.track.channels.map(({ actual }) => {
      const { low, high, count } = actual.over(0, this.track.rows);
      const step = niceStep((high - low || 1) / 6);
      return count ? Math.max(...[low, high].map((value) => pen.measureText(numberText(value, step)).width)) : 0;
    });
    const least = this.stack.clientWidth < 600 ? 44 : 60;
    this.stack.style.setProperty("--gutter", `${Math.ceil(Math.min(96, Math.max(least, ...widths.map((width) => width + 16))))}px`);
  }

  describe() {
    const { track } = this;
    const { high: peak } = track.score.over(0, track.rows);
    this.scorePanel.canvas.setAttribute("aria-label",
      `Score of ${track.name}: at most ${readingText(peak, peak)}, ${track.episodes.length} episodes`);
    this.panels.forEach(({ canvas }, i) => {
      const { name, unit, actual } = track.channels[i];
      const { low, high, count } = actual.over(0, track.rows);
      const text = count ? `from ${readingText(low, high - low)} to ${readingText(high, high - low)} ${unit}` : "no reading";
      canvas.setAttribute("aria-label", `${name}: ${text}`);
    });
  }

  /** Left edge and width of the plots in client pixels. */
  area() {
    const box = this.stack.getBoundingClientRect();
    return { left: box.left + this.stack.clientLeft + this.left, width: this.width };
  }

  measure() {
    this.left = parseFloat(css(this.stack, "--gutter"));
    this.width = Math.max(40, this.stack.clientWidth - this.left - parseFloat(css(this.stack, "--right")));
  }

  later() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.draw(); });
  }

  /** Draw what is on the screen, or everything: paper has no scroll position. */
  draw(everything = false) {
    const { track, map, view, places, theme, marks } = this;
    this.measure();
    const frame = new Frame(track, map, view, places, this.left, this.width);
    const whole = new Frame(track, map, { from: view.low, to: view.high }, places, this.left, this.width);
    const ticks = timeTicks(track, map, view, frame.columns);
    drawMap(find("map"), whole, view, theme);
    drawScore(this.scorePanel.canvas, frame, theme, marks, ticks);
    this.panels.forEach(({ canvas }, i) => {
      const box = canvas.getBoundingClientRect();
      const near = box.bottom > -200 && box.top < window.innerHeight + 200;
      if (near || everything) drawChannel(canvas, frame, track.channels[i], theme, marks, ticks);
    });
    document.querySelectorAll("canvas.axis").forEach((canvas) => drawAxis(canvas, frame, theme, ticks));
    const step = view.span / frame.columns;
    find("range").textContent = track.rows
      ? `${fullTime(track.start + map.time(Math.max(0, view.from)), step)} to ${fullTime(track.start + map.time(Math.min(map.end, view.to)), step)} UTC`
      : "no frames";
    this.placeOverlays();
    this.placeCursor();
    document.documentElement.dataset.state = "drawn";
  }

  rowOf(share) {
    if (share < 0 || share > 1 || !this.track.rows) return null;
    return this.track.rowAt(this.map.time(this.view.from + share * this.view.span));
  }

  /** Show the values of one row, or none. */
  read(row) {
    this.row = row;
    this.placeCursor();
    const { track } = this;
    if (row === null) {
      [this.scorePanel, ...this.panels].forEach(({ output }) => output.replaceChildren());
      return;
    }
    const time = fullTime(track.start + track.times[row], track.period % SECOND ? 1 : SECOND);
    const score = track.score.at(row);
    this.scorePanel.output.replaceChildren(
      make("b", readingText(score, Math.abs(score))), `  threshold ${readingText(track.threshold.at(row), track.threshold.at(row))}, ${track.statusAt(row)}${track.isLabelled(row) ? ", labelled" : ""}, ${time} UTC`);
    this.panels.forEach(({ output }, i) => {
      const { actual, expected } = track.channels[i];
      const { low, high } = actual.over(0, track.rows);
      const spread = high - low;
      if (this.data.residual) {
        output.replaceChildren(make("b", readingText(actual.at(row), spread)));
        return;
      }
      const difference = actual.at(row) - expected.at(row);
      output.replaceChildren(make("b", readingText(actual.at(row), spread)), "  rebuilt ",
        make("span", readingText(expected.at(row), spread), "expected-value"),
        Number.isFinite(difference) ? `  (${difference < 0 ? "" : "+"}${readingText(difference, spread)})` : "");
    });
  }

  /** Cursor and selection start below the overview, wherever the pinned part stands. */
  placeOverlays() {
    const top = find("score-panel").getBoundingClientRect().top - this.stack.getBoundingClientRect().top;
    [find("cursor"), find("selection")].forEach((one) => { one.style.top = `${Math.max(0, top)}px`; });
  }

  placeCursor() {
    const cursor = find("cursor");
    const at = this.row === null ? -1 : (this.places[this.row] - this.view.from) / this.view.span;
    cursor.hidden = at < 0 || at > 1;
    cursor.style.transform = `translateX(${Math.round(this.left + at * this.width)}px)`;
  }

  /** The stretch being dragged over; zoom to it when done. */
  select(from, to, done) {
    const [low, high] = [Math.max(0, Math.min(from, to)), Math.min(1, Math.max(from, to))];
    const box = find("selection");
    box.hidden = done !== undefined;
    box.style.left = `${this.left + low * this.width}px`;
    box.style.width = `${(high - low) * this.width}px`;
    const { view } = this;
    if (done) view.set(view.from + low * view.span, view.from + high * view.span);
  }

  showEpisode(asset, number) {
    if (asset !== this.index) this.choose(asset);
    const { from, to } = this.track.episodes[number];
    const room = Math.max((to - from) * 0.6, this.track.period * 30);
    this.view.set(this.map.place(from - room), this.map.place(to + room));
    this.episode = number;
    document.querySelectorAll("tr[aria-current]").forEach((row) => row.removeAttribute("aria-current"));
    document.querySelector(`tr[data-asset="${asset}"][data-episode="${number}"]`)?.setAttribute("aria-current", "true");
    find("curves").scrollIntoView({ block: "nearest" });
    this.say(`Episode ${number + 1} of ${this.track.name}`);
  }

  stepEpisode(by) {
    const count = this.track.episodes.length;
    if (count) this.showEpisode(this.index, this.episode === null ? (by > 0 ? 0 : count - 1) : (this.episode + by + count) % count);
  }

  stepRow(by) {
    if (!this.track.rows) return;
    const middle = this.track.rowAt(this.map.time(this.view.from + this.view.span / 2));
    const row = this.row === null ? middle : Math.min(this.track.rows - 1, Math.max(0, this.row + by));
    const share = (this.places[row] - this.view.from) / this.view.span;
    if (share < 0 || share > 1) this.view.pan(share < 0 ? -0.3 : 0.3);
    this.read(row);
    this.say([this.scorePanel, ...this.panels].map(({ output }, i) =>
      `${i ? this.data.channels[i - 1].name : "Score"} ${output.textContent}`).join(". "));
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, input")) return;
    const { view } = this;
    const side = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const actions = {
      "+": () => view.zoom(0.5), "=": () => view.zoom(0.5), "-": () => view.zoom(2), "_": () => view.zoom(2),
      "0": () => view.all(), n: () => this.stepEpisode(1), p: () => this.stepEpisode(-1),
      Home: () => view.set(view.low, view.low + view.span), End: () => view.set(view.high - view.span, view.high),
      Escape: () => this.read(null),
    };
    if (side) (event.shiftKey ? this.stepRow(side) : view.pan(side * 0.2));
    else if (actions[event.key]) actions[event.key]();
    else return;
    event.preventDefault();
  }

  say(text) { find("live").textContent = text; }
}

const data = JSON.parse(find("data").textContent);
if (data.assets.length) {
  new Page(data);
} else {
  find("curves").hidden = true;
  document.documentElement.dataset.state = "drawn";
}
