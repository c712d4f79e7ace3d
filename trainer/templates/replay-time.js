// Time on the axis: gaps that can be cut out, ticks at round UTC times, and times as text.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR,
  12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY,
];
const MONTH_STEPS = [1, 3, 6, 12, 24, 60, 120];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (number) => String(number).padStart(2, "0");
const dayOf = (date) => `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;

/** 12:00:00, with as many decimals as a step in milliseconds asks for. */
const clockOf = (date, step) => {
  const minutes = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  if (step >= MINUTE && date.getUTCSeconds() === 0) return minutes;
  const seconds = `${minutes}:${two(date.getUTCSeconds())}`;
  return step >= SECOND ? seconds : `${seconds}.${String(date.getUTCMilliseconds()).padStart(3, "0")}`;
};

const fullTime = (epoch, step) => {
  const date = new Date(epoch);
  return `${dayOf(date)} ${clockOf(date, step < SECOND / 5 ? 1 : SECOND)}`;
};

/** A span in its two largest units. */
const spanText = (length) => {
  if (length < 10 * SECOND) return `${Number((length / SECOND).toPrecision(3))} s`;
  let rest = Math.round(length / SECOND);
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (parts.length === 1) { if (count) parts.push(`${count} ${unit}`); break; }
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.join(" ");
};

/** Times (ms after the first row) to places on the axis: the same, or with gaps cut short. */
class TimeMap {
  constructor(track, cut) {
    const { times, breaks, rows, last } = track;
    this.segments = [0, ...breaks].map((row, i) => ({
      from: times[row] ?? 0,
      to: times[(breaks[i] ?? rows) - 1] ?? 0,
    }));
    const data = this.segments.reduce((sum, one) => sum + one.to - one.from, 0) || last || 1;
    const slot = cut ? Math.min(data * 0.012, (data * 0.2) / Math.max(1, breaks.length)) : Infinity;
    this.times = [];
    this.places = [];
    let shift = 0;
    this.segments.forEach((one, i) => {
      const gap = i ? one.from - this.segments[i - 1].to : 0;
      if (gap > slot) shift += gap - slot;
      this.times.push(one.from, one.to);
      this.places.push(one.from - shift, one.to - shift);
    });
    this.end = this.places[this.places.length - 1];
  }

  static between(from, to, value) {
    const last = from.length - 1;
    if (value <= from[0]) return to[0] + value - from[0];
    if (value >= from[last]) return to[last] + value - from[last];
    const next = Math.max(1, lowerBound(from, value));
    const width = from[next] - from[next - 1];
    return width ? to[next - 1] + ((value - from[next - 1]) / width) * (to[next] - to[next - 1]) : to[next];
  }

  place(time) { return TimeMap.between(this.times, this.places, time); }

  time(place) { return TimeMap.between(this.places, this.times, place); }
}

const monthTicks = (from, to, months) => {
  const ticks = [];
  const first = new Date(from);
  let count = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months;
  for (;;) {
    const epoch = Date.UTC(Math.floor(count / 12), count % 12, 1);
    if (epoch > to) return ticks;
    if (epoch >= from) ticks.push(epoch);
    count += months;
  }
};

/** Round times of one stretch, epoch milliseconds. */
const roundTimes = (from, to, { step, months }) => {
  if (months) return monthTicks(from, to, months);
  const ticks = [];
  for (let epoch = Math.ceil(from / step) * step; epoch <= to; epoch += step) ticks.push(epoch);
  return ticks;
};

/** The smallest round step that is not below a length in milliseconds. */
const stepFor = (least) => {
  const step = STEPS.find((one) => one >= least);
  if (step) return { step, months: 0 };
  const months = MONTH_STEPS.find((one) => one * 30 * DAY >= least) ?? 240;
  return { step: months * 30 * DAY, months };
};

const tickText = (epoch, { step, months }) => {
  const date = new Date(epoch);
  if (months >= 12) return [String(date.getUTCFullYear()), ""];
  if (months) return [MONTHS[date.getUTCMonth()], String(date.getUTCFullYear())];
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  if (step >= DAY) return [day, String(date.getUTCFullYear())];
  return [clockOf(date, step), `${day} ${date.getUTCFullYear()}`];
};

/** Ticks in view: where, what, and the date when it is another one than the tick's before. */
const timeTicks = (track, map, view, width) => {
  const apart = 84;
  const round = stepFor(((view.to - view.from) / width) * apart);
  const ticks = [];
  let context = "";
  let reach = -Infinity;
  if (!track.rows) return ticks;
  for (const segment of map.segments) {
    const from = Math.max(segment.from, map.time(view.from));
    const to = Math.min(segment.to, map.time(view.to));
    if (from > to) continue;
    for (const epoch of roundTimes(track.start + from, track.start + to, round)) {
      const x = ((map.place(epoch - track.start) - view.from) / (view.to - view.from)) * width;
      if (x - reach < apart * 0.8) continue;
      const [text, under] = tickText(epoch, round);
      ticks.push({ x, text, under: under === context ? "" : under });
      context = under;
      reach = x;
    }
  }
  return ticks;
};
