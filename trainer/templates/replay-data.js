"use strict";
// Packed arrays back to numbers (trainer/pages/embed.py), and fast extremes over any span of rows.

const bytesOf = (text) => {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes.buffer;
};

const ARRAYS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f8: Float64Array };

/** Times of all rows, milliseconds after the first. */
const unpackTimes = (packed, rows) => {
  const steps = packed.data ? new ARRAYS[packed.kind](bytesOf(packed.data)) : null;
  const times = new Float64Array(rows);
  let count = 0;
  for (let i = 1; i < rows; i += 1) {
    count += steps ? steps[i - 1] : packed.value;
    times[i] = count * packed.unit;
  }
  return times;
};

/** First index of a sorted array that is not below a value, searched in [from, to). */
const lowerBound = (sorted, value, from = 0, to = sorted.length) => {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle] < value) from = middle + 1;
    else to = middle;
  }
  return from;
};

const BLOCK = 16;

/** One line: values that may be missing (NaN), with extremes and sums a block of rows. */
class Series {
  constructor(packed, rows) {
    this.rows = rows;
    this.constant = packed.data === undefined;
    this.offset = this.constant ? packed.value ?? NaN : packed.offset;
    this.values = this.constant ? null : new Float32Array(bytesOf(packed.data));
    this.fold = { low: 0, high: 0, sum: 0, count: 0 };
    if (!this.constant) this.summarise();
  }

  summarise() {
    const blocks = Math.ceil(this.rows / BLOCK);
    this.lows = new Float32Array(blocks);
    this.highs = new Float32Array(blocks);
    this.sums = new Float64Array(blocks);
    this.counts = new Uint8Array(blocks);
    for (let block = 0; block < blocks; block += 1) {
      this.clear();
      this.add(block * BLOCK, Math.min(this.rows, (block + 1) * BLOCK));
      this.lows[block] = this.fold.low;
      this.highs[block] = this.fold.high;
      this.sums[block] = this.fold.sum;
      this.counts[block] = this.fold.count;
    }
  }

  clear() {
    const fold = this.fold;
    fold.low = Infinity;
    fold.high = -Infinity;
    fold.sum = 0;
    fold.count = 0;
  }

  add(from, to) {
    const { values, fold } = this;
    for (let i = from; i < to; i += 1) {
      const value = values[i];
      if (value === value) {
        if (value < fold.low) fold.low = value;
        if (value > fold.high) fold.high = value;
        fold.sum += value;
        fold.count += 1;
      }
    }
  }

  addBlocks(from, to) {
    const fold = this.fold;
    for (let block = from; block < to; block += 1) {
      if (this.lows[block] < fold.low) fold.low = this.lows[block];
      if (this.highs[block] > fold.high) fold.high = this.highs[block];
      fold.sum += this.sums[block];
      fold.count += this.counts[block];
    }
  }

  at(row) {
    return this.constant ? this.offset : this.offset + this.values[row];
  }

  /** Lowest, highest and mean of rows [from, to); count 0 when none has a value. The result is reused. */
  over(from, to) {
    this.clear();
    const fold = this.fold;
    if (this.constant) {
      fold.count = this.offset === this.offset ? Math.max(0, to - from) : 0;
      fold.low = fold.high = fold.mean = this.offset;
      return fold;
    }
    const first = Math.ceil(from / BLOCK);
    const last = Math.floor(to / BLOCK);
    if (last <= first) {
      this.add(from, to);
    } else {
      this.add(from, first * BLOCK);
      this.addBlocks(first, last);
      this.add(last * BLOCK, to);
    }
    fold.mean = this.offset + fold.sum / fold.count;
    fold.low += this.offset;
    fold.high += this.offset;
    return fold;
  }
}

/** One asset, unpacked when it is first looked at. */
class Track {
  constructor(packed, channels) {
    const rows = packed.rows;
    this.name = packed.name;
    this.rows = rows;
    this.start = packed.time.start;
    this.times = unpackTimes(packed.time, rows);
    this.breaks = packed.breaks;
    this.segment = new Uint32Array(rows);
    packed.breaks.forEach((row) => { this.segment[row] = 1; });
    for (let i = 1; i < rows; i += 1) this.segment[i] += this.segment[i - 1];
    this.status = packed.status;
    this.score = new Series(packed.score, rows);
    this.threshold = new Series(packed.threshold, rows);
    this.channels = channels.map((channel, i) => ({
      ...channel,
      actual: new Series(packed.actual[i], rows),
      expected: new Series(packed.expected[i], rows),
    }));
    this.last = rows ? this.times[rows - 1] : 0;
    this.episodes = packed.episodes.map(([from, to]) => ({ from, to: to ?? this.last, open: to === null }));
    this.labels = (packed.labels ?? []).map(([from, to]) => ({ from, to }));
    this.period = this.typicalStep();
  }

  typicalStep() {
    const steps = [];
    const stride = Math.max(1, Math.floor(this.rows / 1000));
    for (let i = 1; i < this.rows; i += stride) steps.push(this.times[i] - this.times[i - 1]);
    steps.sort((a, b) => a - b);
    return steps[steps.length >> 1] || 1000;
  }

  statusAt(row) {
    let found = "";
    for (const [first, name] of this.status) {
      if (first > row) break;
      found = name;
    }
    return found;
  }

  /** Whether somebody labelled the time of a row as anomalous. */
  isLabelled(row) { return this.labels.some(({ from, to }) => from <= this.times[row] && this.times[row] <= to); }

  /** Spans of rows with one status, as times. */
  spansOf(name) {
    const spans = [];
    this.status.forEach(([first, each], i) => {
      if (each !== name) return;
      const next = i + 1 < this.status.length ? this.status[i + 1][0] : this.rows;
      spans.push({ from: this.times[first], to: this.times[next - 1], name });
    });
    return spans;
  }

  /** The row nearest to a time. */
  rowAt(time) {
    const after = Math.min(this.rows - 1, lowerBound(this.times, time));
    if (after === 0) return 0;
    return time - this.times[after - 1] < this.times[after] - time ? after - 1 : after;
  }
}
