// Strokes at the picture's own resolution, whatever the zoom: layers, the shapes that tools paint into them, and undo.
// Nothing here knows the page.
"use strict";

(() => {
  const TILE = 256; // pixels of a tile's side; only painted tiles exist
  const STEPS = 50;
  const HISTORY_BYTES = 192 * 2 ** 20; // of the tiles that steps keep; the oldest steps go first
  const SAME_COLOUR = 32; // out of 255: how far the fill tool may stray from the colour that was clicked

  // ---- layers ----

  // A mask has one channel (255 = repaint), a sketch four (colour, not multiplied by its alpha).
  function makeLayer(width, height, channels) {
    const across = Math.ceil(width / TILE);
    return { width, height, channels, across, tiles: new Map(), unsaved: new Set(), history: [], done: 0 };
  }

  // Calls act(index, part) for each tile that a box touches; `part` is in pixels of the picture, its ends excluded.
  function eachTile(layer, box, act) {
    const left = Math.max(0, Math.floor(box.left));
    const top = Math.max(0, Math.floor(box.top));
    const right = Math.min(layer.width, Math.ceil(box.right));
    const bottom = Math.min(layer.height, Math.ceil(box.bottom));
    for (let y = top - (top % TILE); y < bottom; y += TILE) {
      for (let x = left - (left % TILE); x < right; x += TILE) {
        act((y / TILE) * layer.across + x / TILE, {
          x,
          y,
          left: Math.max(left, x),
          top: Math.max(top, y),
          right: Math.min(right, x + TILE),
          bottom: Math.min(bottom, y + TILE),
        });
      }
    }
  }

  const whole = (layer) => ({ left: 0, top: 0, right: layer.width, bottom: layer.height });
  const blankTile = (layer) => new Uint8ClampedArray(TILE * TILE * layer.channels);

  // Whether nothing is painted; tiles that were erased again do not count.
  function isBlank(layer) {
    for (const tile of layer.tiles.values()) {
      const words = new Uint32Array(tile.buffer);
      if (layer.channels === 1 ? words.some((word) => word) : words.some((word) => word >>> 24)) return false;
    }
    return true;
  }

  // The channels of one pixel.
  function pixel(layer, x, y) {
    const tile = layer.tiles.get(Math.floor(y / TILE) * layer.across + Math.floor(x / TILE));
    const at = ((y % TILE) * TILE + (x % TILE)) * layer.channels;
    return tile ? tile.subarray(at, at + layer.channels) : new Uint8ClampedArray(layer.channels);
  }

  // ---- steps: what undo takes back ----

  // `before` holds the tiles as they were (null: not there), `cover` how far this step's brush covers each pixel: going
  // over a place twice within one stroke makes it no stronger.
  const begin = (layer) => ({ layer, before: new Map(), cover: new Map() });

  function writable(step, index) {
    const { layer, before } = step;
    if (!before.has(index)) {
      const old = layer.tiles.get(index) ?? null;
      before.set(index, old);
      layer.tiles.set(index, old ? old.slice() : blankTile(layer));
    }
    layer.unsaved.add(index);
    return layer.tiles.get(index);
  }

  // Puts the step's tiles in the place of the present ones, and keeps those: done twice, it changes nothing.
  function swap(step) {
    const { layer, before } = step;
    for (const [index, old] of before) {
      before.set(index, layer.tiles.get(index) ?? null);
      if (old) layer.tiles.set(index, old);
      else layer.tiles.delete(index);
      layer.unsaved.add(index);
    }
  }

  const stepBytes = (step) => [...step.before.values()].reduce((sum, tile) => sum + (tile?.length ?? 0), 0);

  // Adds a step to its layer's history. False where it changed nothing.
  function finish(step) {
    const { layer } = step;
    if (!step.before.size) return false;
    step.cover.clear();
    layer.history.length = layer.done;
    layer.history.push(step);
    let bytes = layer.history.reduce((sum, one) => sum + stepBytes(one), 0);
    while (layer.history.length > STEPS || (bytes > HISTORY_BYTES && layer.history.length > 1)) {
      bytes -= stepBytes(layer.history.shift());
    }
    layer.done = layer.history.length;
    return true;
  }

  const cancel = swap;

  function undo(layer) {
    if (!layer.done) return false;
    swap(layer.history[--layer.done]);
    return true;
  }

  function redo(layer) {
    if (layer.done === layer.history.length) return false;
    swap(layer.history[layer.done++]);
    return true;
  }

  // ---- paint ----

  // A brush: {hardness 0..1, opacity 0..1, erase, colour [r, g, b]}. Returns blend(tile, before, pixel, cover 0..255).
  // A mask takes the stronger of old and new, so strokes may overlap; a sketch lays the new colour over the old one.
  function blender(layer, { opacity, erase, colour }) {
    if (layer.channels === 1) {
      if (erase) return (tile, before, at, cover) => (tile[at] = before[at] * (1 - (cover * opacity) / 255));
      return (tile, before, at, cover) => (tile[at] = Math.max(before[at], cover * opacity));
    }
    return (tile, before, pixel, cover) => {
      const at = 4 * pixel;
      const share = (cover * opacity) / 255;
      const rest = (before[at + 3] / 255) * (1 - share);
      const alpha = erase ? rest : share + rest;
      tile[at + 3] = alpha * 255;
      for (let c = 0; c < 3; c++) {
        tile[at + c] = erase || !alpha ? before[at + c] : (colour[c] * share + before[at + c] * rest) / alpha;
      }
    };
  }

  // How far a brush covers a pixel at a distance from its middle. The edge of a hard one is a pixel wide.
  function coverage(distance, radius, hardness) {
    const outer = radius + 0.5;
    const inner = Math.min(radius * hardness, radius - 0.5);
    const inside = (outer - distance) / (outer - inner);
    if (inside >= 1) return 255;
    return outer - inner > 1.5 ? 255 * inside * inside * (3 - 2 * inside) : 255 * inside;
  }

  // A part of a stroke, from {x, y, radius} to {x, y, radius}; returns the box that it touched.
  function paintLine(step, from, to, brush) {
    const { layer } = step;
    const reach = Math.max(from.radius, to.radius) + 1;
    const [across, down] = [to.x - from.x, to.y - from.y];
    const length = across * across + down * down;
    const along = (x, y) => (length ? Math.min(1, Math.max(0, (x * across + y * down) / length)) : 0);
    const blend = blender(layer, brush);
    const blank = blankTile(layer);
    const box = {
      left: Math.min(from.x, to.x) - reach,
      top: Math.min(from.y, to.y) - reach,
      right: Math.max(from.x, to.x) + reach,
      bottom: Math.max(from.y, to.y) + reach,
    };
    eachTile(layer, box, (index, part) => {
      const [x, y] = [part.x + TILE / 2 - from.x, part.y + TILE / 2 - from.y];
      const middle = along(x, y);
      if (Math.hypot(x - middle * across, y - middle * down) > reach + TILE * Math.SQRT1_2) return; // beside a slope
      const tile = writable(step, index);
      const before = step.before.get(index) ?? blank;
      if (!step.cover.has(index)) step.cover.set(index, new Uint8Array(TILE * TILE));
      const cover = step.cover.get(index);
      for (let row = part.top; row < part.bottom; row++) {
        const py = row + 0.5 - from.y;
        for (let column = part.left; column < part.right; column++) {
          const px = column + 0.5 - from.x;
          const place = along(px, py);
          const dx = px - place * across;
          const dy = py - place * down;
          const radius = from.radius + place * (to.radius - from.radius);
          const square = dx * dx + dy * dy;
          if (square >= (radius + 0.5) * (radius + 0.5)) continue;
          const value = Math.round(coverage(Math.sqrt(square), radius, brush.hardness));
          const at = (row - part.y) * TILE + column - part.x;
          if (value <= cover[at]) continue;
          cover[at] = value;
          blend(tile, before, at, value);
        }
      }
    });
    return box;
  }

  // Paints all of a box whose pixels `coverOf(part)` gives a cover 0..255, by functions of (x, y).
  function paintArea(step, box, brush, coverOf) {
    const blend = blender(step.layer, brush);
    const blank = blankTile(step.layer);
    eachTile(step.layer, box, (index, part) => {
      const cover = coverOf(part);
      const tile = writable(step, index);
      const before = step.before.get(index) ?? blank;
      for (let y = part.top; y < part.bottom; y++) {
        for (let x = part.left; x < part.right; x++) {
          const value = cover(x, y);
          if (value) blend(tile, before, (y - part.y) * TILE + x - part.x, value);
        }
      }
    });
    return box;
  }

  // A rectangle between two points, both pixels within it.
  function paintRectangle(step, from, to, brush) {
    const box = {
      left: Math.floor(Math.min(from.x, to.x)),
      top: Math.floor(Math.min(from.y, to.y)),
      right: Math.floor(Math.max(from.x, to.x)) + 1,
      bottom: Math.floor(Math.max(from.y, to.y)) + 1,
    };
    return paintArea(step, box, brush, () => () => 255);
  }

  // What a closed line of points surrounds.
  function paintLasso(step, points, brush) {
    const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
    const least = (values) => values.reduce((a, b) => Math.min(a, b)); // there may be too many for a call's arguments
    const most = (values) => values.reduce((a, b) => Math.max(a, b));
    const path = new Path2D();
    for (const { x, y } of points) path.lineTo(x, y);
    path.closePath();
    const scratch = new OffscreenCanvas(TILE, TILE).getContext("2d", { willReadFrequently: true });
    const box = { left: least(xs), top: least(ys), right: most(xs), bottom: most(ys) };
    return paintArea(step, box, brush, (part) => {
      scratch.setTransform(1, 0, 0, 1, 0, 0);
      scratch.clearRect(0, 0, TILE, TILE);
      scratch.setTransform(1, 0, 0, 1, -part.x, -part.y);
      scratch.fill(path, "evenodd");
      const { data } = scratch.getImageData(0, 0, TILE, TILE);
      return (x, y) => data[((y - part.y) * TILE + x - part.x) * 4 + 3];
    });
  }

  // ---- fill ----

  // The pixels that hang together with the first one, as far as `admits(pixel, neighbour)`, wave by wave.
  function flood(width, height, first, admits) {
    const found = new Uint8Array(width * height);
    let wave = [first];
    found[first] = 1;
    while (wave.length) {
      const next = [];
      const visit = (from, to) => {
        if (found[to] || !admits(from, to)) return;
        found[to] = 1;
        next.push(to);
      };
      for (const pixel of wave) {
        const x = pixel % width;
        if (x > 0) visit(pixel, pixel - 1);
        if (x < width - 1) visit(pixel, pixel + 1);
        if (pixel >= width) visit(pixel, pixel - width);
        if (pixel < width * (height - 1)) visit(pixel, pixel + width);
      }
      wave = next;
    }
    return found;
  }

  // In a mask: what painted lines surround, and up their soft inner edge, so that no seam stays between line and
  // filling; on painted ground, that ground.
  const surrounded = (values, first) =>
    values[first] < 128
      ? (from, to) => (values[to] < 128 ? values[from] < 128 : values[to] >= values[from])
      : (from, to) => values[to] >= 128;

  // In a mask, with the eraser: the painted patch, with its soft edge.
  const patch = (values) => (from, to) => values[to] > 0;

  // In a sketch: what looks like the first pixel. `colours` are four bytes a pixel.
  const alike = (colours, first) => (from, to) => {
    for (let c = 0; c < 4; c++) if (Math.abs(colours[4 * to + c] - colours[4 * first + c]) > SAME_COLOUR) return false;
    return true;
  };

  // `values`: the whole layer's mask bytes, or the colours of picture and sketch together.
  function paintFill(step, point, brush, values) {
    const { layer } = step;
    const { width, height } = layer;
    const first = Math.floor(point.y) * width + Math.floor(point.x);
    const admits = layer.channels === 4 ? alike(values, first) : (brush.erase ? patch : surrounded)(values, first);
    const found = flood(width, height, first, admits);
    return paintArea(step, whole(layer), brush, () => (x, y) => found[y * width + x] * 255);
  }

  // ---- whole layers ----

  // Every pixel anew, by value(x, y, old); for masks.
  function rewrite(step, valueOf) {
    eachTile(step.layer, whole(step.layer), (index, part) => {
      const value = valueOf(part);
      const tile = writable(step, index);
      for (let y = part.top; y < part.bottom; y++) {
        for (let x = part.left; x < part.right; x++) {
          const at = (y - part.y) * TILE + x - part.x;
          tile[at] = value(x, y, tile[at]);
        }
      }
    });
  }

  function wipe(step) {
    for (const [index, tile] of step.layer.tiles) {
      step.before.set(index, tile);
      step.layer.unsaved.add(index);
    }
    step.layer.tiles.clear();
  }

  // All bytes of a layer in one row after the other.
  function bytes(layer) {
    const { width, channels } = layer;
    const all = new Uint8ClampedArray(width * layer.height * channels);
    eachTile(layer, whole(layer), (index, part) => {
      const tile = layer.tiles.get(index);
      if (!tile) return;
      for (let y = part.top; y < part.bottom; y++) {
        const start = (y - part.y) * TILE * channels;
        all.set(tile.subarray(start, start + (part.right - part.x) * channels), (y * width + part.x) * channels);
      }
    });
    return all;
  }

  const steps = { begin, finish, cancel, undo, redo };
  const shapes = { paintLine, paintRectangle, paintLasso, paintFill, rewrite, wipe };
  emulsion.paint = { TILE, makeLayer, eachTile, whole, isBlank, bytes, pixel, ...steps, ...shapes };
})();
