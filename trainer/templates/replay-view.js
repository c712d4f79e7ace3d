// The span of places in view, and the gestures that move it.

class View {
  constructor(changed) {
    this.changed = changed;
    this.reset(1, 1);
  }

  /** Show everything of a recording that ends at a place; never less than `least` of it. */
  reset(end, least) {
    const room = end > 0 ? end * 0.005 : 500;
    Object.assign(this, { low: -room, high: end + room, least: Math.min(least, end + room), from: -room, to: end + room });
  }

  get span() { return this.to - this.from; }

  set(from, to) {
    const span = Math.min(this.high - this.low, Math.max(this.least, to - from));
    const start = Math.min(this.high - span, Math.max(this.low, (from + to - span) / 2));
    this.from = start;
    this.to = start + span;
    this.changed();
  }

  /** Larger or smaller around a share (0 to 1) of the width, which stays where it is. */
  zoom(factor, share = 0.5) {
    const span = Math.min(this.high - this.low, Math.max(this.least, this.span * factor));
    const start = this.from + (this.span - span) * share;
    this.set(start, start + span);
  }

  pan(share) { this.set(this.from + share * this.span, this.to + share * this.span); }

  all() { this.set(this.low, this.high); }
}

/**
 * Mouse, pen, touch and wheel over the curves.
 * `area()` gives left edge (client pixels) and width of the plots; the rest are what gestures do.
 */
const listenGestures = (stack, { view, area, select, read, zooms }) => {
  const pointers = new Map();
  let mode = null;
  let origin = null;
  const share = (clientX) => (clientX - area().left) / area().width;
  const drawn = (target) => target instanceof HTMLCanvasElement && !target.matches(".map");

  const finish = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const moved = origin && Math.abs(event.clientX - origin.x) > 4;
    if (mode === "select" && event.type === "pointerup") select(origin.share, share(event.clientX), moved);
    if (mode === "select" && event.type !== "pointerup") select(0, 0, false);
    if (mode === "touch" && !moved && event.type === "pointerup") read(share(event.clientX));
    mode = pointers.size ? "spent" : null;
  };

  stack.addEventListener("pointerdown", (event) => {
    if (!drawn(event.target) || (event.pointerType === "mouse" && event.button !== 0)) return;
    stack.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event.clientX);
    origin = { x: event.clientX, share: share(event.clientX), from: view.from, to: view.to };
    if (event.pointerType === "touch") mode = pointers.size > 1 ? "pinch" : "touch";
    else mode = event.shiftKey ? "move" : "select";
    if (mode === "pinch") origin.places = [...pointers.values()].map((x) => view.from + share(x) * view.span);
  });

  stack.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) {
      if (event.pointerType !== "touch" && !event.target.closest(".bar, .map")) read(share(event.clientX));
      return;
    }
    pointers.set(event.pointerId, event.clientX);
    if (mode === "select") select(origin.share, share(event.clientX));
    if (mode === "move" || mode === "touch") {
      const by = (share(event.clientX) - origin.share) * (origin.to - origin.from);
      view.set(origin.from - by, origin.to - by);
    }
    if (mode === "pinch") pinch(origin.places, [...pointers.values()].map(share));
  });

  const pinch = ([one, other], [a, b]) => {
    if (Math.abs(a - b) < 0.02) return;
    const span = (one - other) / (a - b);
    if (span > 0) view.set(one - a * span, one + (1 - a) * span);
  };

  stack.addEventListener("pointerup", finish);
  stack.addEventListener("pointercancel", finish);
  stack.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !mode) read(null); });
  // The target is the stack itself: it holds the captured pointer.
  stack.addEventListener("dblclick", (event) => { if (!event.target.closest(".bar, .map")) view.all(); });
  stack.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!sideways && !event.ctrlKey && !zooms(event.target)) return;
    event.preventDefault();
    const scale = event.deltaMode === 1 ? 30 : event.deltaMode === 2 ? 300 : 1;
    if (sideways) view.pan((event.deltaX * scale) / area().width);
    else view.zoom(Math.exp(event.deltaY * scale * (event.ctrlKey ? 0.006 : 0.002)), share(event.clientX));
  }, { passive: false });
};

/** Dragging on the overview takes the window along; a press beside it brings it there. */
const listenMap = (map, { view, area }) => {
  let held = null;
  const place = (event) => view.low + ((event.clientX - area().left) / area().width) * (view.high - view.low);
  map.addEventListener("pointerdown", (event) => {
    map.setPointerCapture(event.pointerId);
    const at = place(event);
    if (at < view.from || at > view.to) view.set(at - view.span / 2, at + view.span / 2);
    held = at - view.from;
  });
  map.addEventListener("pointermove", (event) => {
    if (held !== null) view.set(place(event) - held, place(event) - held + view.span);
  });
  const release = () => { held = null; };
  map.addEventListener("pointerup", release);
  map.addEventListener("pointercancel", release);
};
