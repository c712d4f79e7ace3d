// Drawing: one canvas a panel, one pass over the pixels of its width.

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";

const css = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

const readTheme = () => {
  const root = document.documentElement;
  const names = ["card", "ink", "muted", "line", "faint", "actual", "expected", "expected-soft", "alarm", "alarm-soft", "hatch"];
  return Object.fromEntries(names.map((name) => [name, css(root, `--${name}`)]));
};

/** A canvas's drawing context in CSS pixels, sharp on any screen, empty. */
const fresh = (canvas) => {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  return { pen, width, height };
};

const niceStep = (least) => {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].find((one) => one * power >= least * 0.999) * power;
};

/** A number to a step's decimals; `steady` keeps zeros at the end, so that a read-out does not jump. */
const numberText = (value, step, steady = false) => {
  const size = Math.max(Math.abs(value), step);
  const decimals = Math.max(0, Math.min(9, -Math.floor(Math.log10(step) + 1e-9)));
  const text = size >= 1e7 || step < 1e-6
    ? value.toPrecision(3)
    : value.toLocaleString("en", { maximumFractionDigits: decimals, minimumFractionDigits: steady ? decimals : 0 });
  return text.replace("-", "\u2212");
};

/** A reading: as many decimals as four digits of its channel's spread need. */
const readingText = (value, spread) => {
  if (!Number.isFinite(value)) return "missing";
  const span = spread > 0 ? spread : Math.abs(value) || 1;
  return numberText(value, 10 ** (Math.floor(Math.log10(span)) - 3), true);
};

/** Bottom and top of a panel, with room at both. */
const padded = (low, high) => {
  if (!(low <= high)) return { low: 0, high: 1 };
  const room = (high - low) * 0.08 || Math.abs(high) * 0.01 || 1;
  return { low: low - room, high: high + room };
};

/** What all panels of one frame share: the time in view, in rows and pixels. */
class Frame {
  constructor(track, map, view, places, left, width) {
    Object.assign(this, { track, map, view, places, left, width });
    this.columns = Math.max(1, Math.round(width));
    const scale = this.columns / (view.to - view.from);
    this.x = (place) => (place - view.from) * scale;
    this.bounds = new Uint32Array(this.columns + 1);
    let from = lowerBound(places, view.from);
    for (let column = 0; column <= this.columns; column += 1) {
      from = lowerBound(places, view.from + column / scale, from);
      this.bounds[column] = from;
    }
    this.first = this.bounds[0];
    this.end = Math.min(track.rows, lowerBound(places, view.to, from) + 1);
    this.dense = this.end - this.first > 2.5 * this.columns;
  }

  /** Lowest and highest value in view of some lines. */
  extremes(lines) {
    let low = Infinity;
    let high = -Infinity;
    for (const line of lines) {
      const fold = line.over(this.first, this.end);
      if (fold.count) {
        low = Math.min(low, fold.low);
        high = Math.max(high, fold.high);
      }
    }
    return { low, high };
  }

  at(time) { return this.x(this.map.place(time)); }
}

/** Every row as a corner of a line. */
const strokeRows = (pen, frame, line, y) => {
  const { places, track } = frame;
  const from = Math.max(0, frame.first - 1);
  const to = Math.min(track.rows, frame.end + 1);
  let down = false;
  pen.beginPath();
  for (let row = from; row < to; row += 1) {
    const value = line.at(row);
    if (value !== value) { down = false; continue; }
    if (down && track.segment[row] !== track.segment[row - 1]) down = false;
    const x = frame.x(places[row]);
    // A short stroke, so that a value between two missing ones can be seen.
    if (!down) { pen.moveTo(x - 0.5, y(value)); down = true; }
    pen.lineTo(x, y(value));
  }
  pen.stroke();
};

/** The lowest to the highest value of every pixel column as one area. */
const fillExtremes = (pen, frame, line, y) => {
  pen.beginPath();
  for (let column = 0; column < frame.columns; column += 1) {
    const from = frame.bounds[column];
    const to = frame.bounds[column + 1];
    if (to === from) continue;
    const fold = line.over(from, to);
    if (!fold.count) continue;
    const top = y(fold.high);
    pen.rect(column, top, 1, Math.max(1, y(fold.low) - top));
  }
  pen.fill();
};

/** The mean of every pixel column as a line. */
const strokeMeans = (pen, frame, line, y) => {
  const { track } = frame;
  let before = -1;
  pen.beginPath();
  for (let column = 0; column < frame.columns; column += 1) {
    const from = frame.bounds[column];
    const to = frame.bounds[column + 1];
    if (to === from) continue;
    const fold = line.over(from, to);
    if (!fold.count) { before = -1; continue; }
    if (before < 0 || track.segment[from] !== track.segment[before]) pen.moveTo(column, y(fold.mean));
    pen.lineTo(column + 0.5, y(fold.mean));
    before = to - 1;
  }
  pen.stroke();
};

/** A line: as it is when there is room, else the area of its extremes, with its mean or as a whole. */
const drawLine = (pen, frame, line, y, { colour, width, area, soft }) => {
  pen.strokeStyle = colour;
  pen.fillStyle = colour;
  pen.lineWidth = width;
  pen.lineJoin = "round";
  if (!frame.dense) {
    if (soft) pen.strokeStyle = soft;
    if (soft) pen.lineWidth = width * 2;
    strokeRows(pen, frame, line, y);
    return;
  }
  pen.globalAlpha = area;
  fillExtremes(pen, frame, line, y);
  pen.globalAlpha = 1;
  if (area < 1) strokeMeans(pen, frame, line, y);
};

const hatch = (pen, colour) => {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const brush = tile.getContext("2d");
  brush.strokeStyle = colour;
  brush.lineWidth = 1;
  brush.beginPath();
  for (const shift of [-6, 0, 6]) {
    brush.moveTo(shift, 6);
    brush.lineTo(shift + 6, 0);
  }
  brush.stroke();
  return pen.createPattern(tile, "repeat");
};

/** Ground of a panel: grid, warm-up, gaps, episodes, and labels as a strip at the bottom. */
const drawGround = (pen, frame, height, theme, marks, ticks) => {
  const { columns } = frame;
  const band = (from, to, least = 1) => {
    const left = Math.max(-2, frame.at(from));
    const right = Math.min(columns + 2, frame.at(to));
    return right < 0 || left > columns ? null : { left, width: Math.max(least, right - left) };
  };
  pen.fillStyle = theme.line;
  ticks.forEach(({ x }) => pen.fillRect(Math.round(x), 0, 1, height));
  pen.fillStyle = hatch(pen, theme.hatch);
  for (const span of marks.unscored) {
    const at = band(span.from, span.to);
    if (at) pen.fillRect(at.left, 0, at.width, height);
  }
  for (const span of marks.gaps) {
    const at = band(span.from, span.to);
    if (!at) continue;
    pen.fillStyle = theme.faint;
    pen.fillRect(at.left, 0, at.width, height);
    pen.fillStyle = theme.muted;
    for (let y = 0; y < height; y += 6) {
      pen.fillRect(Math.round(at.left), y, 1, 3);
      pen.fillRect(Math.round(at.left + at.width) - 1, y, 1, 3);
    }
  }
  for (const one of frame.track.episodes) {
    const at = band(one.from, one.to, 2);
    if (!at) continue;
    if (at.width < 5) {
      pen.globalAlpha = 0.5;
      pen.fillStyle = theme.alarm;
      pen.fillRect(at.left, 0, at.width, height);
      pen.globalAlpha = 1;
      continue;
    }
    pen.fillStyle = theme["alarm-soft"];
    pen.fillRect(at.left, 0, at.width, height);
    pen.fillStyle = theme.alarm;
    pen.fillRect(Math.round(at.left), 0, 1, height);
    if (!one.open) pen.fillRect(Math.round(at.left + at.width) - 1, 0, 1, height);
  }
  pen.fillStyle = theme.expected;
  for (const span of frame.track.labels) {
    const at = band(span.from, span.to, 2);
    if (at) pen.fillRect(at.left, height - 6, at.width, 6);
  }
};

/** Numbers at the left, with a faint line each. */
const drawScale = (pen, frame, range, y, height, theme) => {
  const step = niceStep((range.high - range.low) / Math.max(2, Math.floor(height / 26)));
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (let i = Math.ceil(range.low / step); i * step <= range.high; i += 1) {
    const at = y(i * step);
    pen.fillStyle = theme.line;
    pen.fillRect(0, Math.round(at), frame.columns, 1);
    if (at < 6 || at > height - 3) continue;
    pen.fillStyle = theme.muted;
    pen.fillText(numberText(i * step, step), -8, at);
  }
};

/** Set up one panel: the pen moved past the gutter, the scale drawn; returns value to height. */
const openPanel = (canvas, frame, range, theme, marks, ticks) => {
  const { pen, height } = fresh(canvas);
  const y = (value) => ((range.high - value) / (range.high - range.low)) * height;
  pen.save();
  pen.translate(frame.left, 0);
  drawScale(pen, frame, range, y, height, theme);
  pen.beginPath();
  pen.rect(0, 0, frame.columns, height);
  pen.clip();
  drawGround(pen, frame, height, theme, marks, ticks);
  return { pen, y, height };
};

const drawChannel = (canvas, frame, channel, theme, marks, ticks) => {
  const { low, high } = frame.extremes([channel.actual, channel.expected]);
  const { pen, y } = openPanel(canvas, frame, padded(low, high), theme, marks, ticks);
  const expected = { colour: theme.expected, soft: theme["expected-soft"], width: 1.5, area: 0.35 };
  const actual = { colour: theme.actual, width: 1.25, area: 0.3 };
  if (frame.dense) {
    drawLine(pen, frame, channel.actual, y, actual);
    drawLine(pen, frame, channel.expected, y, expected);
  } else {
    drawLine(pen, frame, channel.expected, y, expected);
    drawLine(pen, frame, channel.actual, y, actual);
  }
  pen.restore();
};

/** Numbers of the episodes and the word warm-up, where they have room. */
const drawMarks = (pen, frame, theme, marks) => {
  pen.textBaseline = "top";
  pen.textAlign = "left";
  let reach = -Infinity;
  frame.track.episodes.forEach((one, i) => {
    const from = frame.at(one.from);
    const wide = pen.measureText(String(i + 1)).width;
    const left = Math.min(frame.columns - wide - 2, Math.max(0, from) + 4);
    if (from > frame.columns || frame.at(one.to) < 0 || left < reach + 6) return;
    pen.fillStyle = theme.alarm;
    pen.fillText(String(i + 1), left, 4);
    reach = left + wide;
  });
  pen.fillStyle = theme.muted;
  for (const span of marks.unscored) {
    const left = Math.max(0, frame.at(span.from));
    if (Math.min(frame.columns, frame.at(span.to)) - left > 70) pen.fillText(span.name === "warming" ? "warm-up" : span.name, left + 6, 4);
  }
};

const drawScore = (canvas, frame, theme, marks, ticks) => {
  const { track } = frame;
  const { low, high } = frame.extremes([track.score, track.threshold]);
  const range = high >= low ? { low: Math.min(0, low), high: high * 1.12 || 1 } : { low: 0, high: 1 };
  const { pen, y } = openPanel(canvas, frame, range, theme, marks, ticks);
  drawLine(pen, frame, track.score, y, { colour: theme.actual, width: 1.5, area: 1 });
  pen.setLineDash([6, 4]);
  pen.strokeStyle = theme.alarm;
  pen.lineWidth = 1.5;
  (frame.dense ? strokeMeans : strokeRows)(pen, frame, track.threshold, y);
  pen.setLineDash([]);
  drawMarks(pen, frame, theme, marks);
  pen.restore();
};

const drawAxis = (canvas, frame, theme, ticks) => {
  const { pen } = fresh(canvas);
  pen.translate(frame.left, 0);
  pen.textBaseline = "top";
  ticks.forEach(({ x, text, under }) => {
    const half = pen.measureText(text).width / 2;
    pen.textAlign = x - half < 2 - frame.left ? "left" : x + half > frame.columns + 12 ? "right" : "center";
    pen.fillStyle = theme.ink;
    pen.fillText(text, x, 4);
    pen.fillStyle = theme.muted;
    pen.fillText(under, x, 19);
  });
};

/** The whole recording at a glance, with the part in view. */
const drawMap = (canvas, whole, view, theme) => {
  const { pen, height } = fresh(canvas);
  const { track, columns } = whole;
  pen.translate(whole.left, 0);
  pen.fillStyle = theme.faint;
  pen.fillRect(0, 0, columns, height);
  const { high } = whole.extremes([track.score, track.threshold]);
  const y = (value) => height - 2 - (Math.max(0, value) / (high || 1)) * (height - 5);
  pen.fillStyle = theme["alarm-soft"];
  for (const one of track.episodes) {
    const left = whole.at(one.from);
    pen.fillRect(left, 0, Math.max(2, whole.at(one.to) - left), height);
  }
  drawLine(pen, whole, track.score, y, { colour: theme.muted, width: 1, area: 1 });
  pen.fillStyle = theme.expected;
  for (const span of track.labels) {
    const start = whole.at(span.from);
    pen.fillRect(start, height - 4, Math.max(2, whole.at(span.to) - start), 4);
  }
  const left = whole.x(view.from);
  const right = Math.max(left + 3, whole.x(view.to));
  pen.fillStyle = theme.card;
  pen.globalAlpha = 0.7;
  pen.fillRect(0, 0, left, height);
  pen.fillRect(right, 0, columns - right, height);
  pen.globalAlpha = 1;
  pen.strokeStyle = theme.expected;
  pen.lineWidth = 1.5;
  pen.strokeRect(left + 0.75, 0.75, right - left - 1.5, height - 1.5);
};
