// The canvas on the screen: how large and where the picture is shown, and drawing it with its mask or sketch. Only what
// changed is drawn again, once for each frame of the screen.
"use strict";

(() => {
  const { one, onAppear } = emulsion;
  const { TILE } = emulsion.paint;
  const LARGEST = 40; // screen pixels for one of the picture's
  const SAMPLES = 4; // picture pixels looked at, across and down, for one smaller pixel of the screen
  const MASK = [255, 56, 116, 0.46]; // colour and opacity of what is repainted
  const RIM = 63; // of 255: where the mask's outline runs; weak strokes must be seen too
  const VISIBLE_PART = 48; // screen pixels of the picture that always stay in sight
  const view = { scale: 1, x: 0, y: 0, fitted: true, ratio: 1, maskShown: true }; // in pixels of the screen
  const exact = { x: 0, y: 0 }; // before rounding, so that many small zooms do not add up to a shift
  let paper, context; // the page's canvas, once it is there
  let veil = null; // what lies over the picture, before it is drawn
  let dirty = null; // box on the screen that the next frame draws
  let extra = () => {}; // the tools' own lines: extra(context, view)

  const picture = () => emulsion.canvas.current();
  const everything = () => ({ left: 0, top: 0, right: paper.width, bottom: paper.height });

  // ---- places ----

  // A pointer's place in pixels of the screen from the canvas's corner.
  function onScreen(clientX, clientY) {
    const box = paper.getBoundingClientRect();
    return [((clientX - box.left) * paper.width) / box.width, ((clientY - box.top) * paper.height) / box.height];
  }

  // A pointer's place in the picture's own pixels.
  function place({ clientX, clientY }) {
    const [x, y] = onScreen(clientX, clientY);
    return { x: (x - view.x) / view.scale, y: (y - view.y) / view.scale };
  }

  const smallest = () => Math.min(fitting(), 1) / 2;
  const fitting = () => Math.min(8, paper.width / picture().width, paper.height / picture().height);

  function put(scale, x, y) {
    const { width, height } = picture();
    const part = VISIBLE_PART * view.ratio;
    view.scale = scale;
    exact.x = Math.min(paper.width - part, Math.max(part - width * scale, x));
    exact.y = Math.min(paper.height - part, Math.max(part - height * scale, y));
    [view.x, view.y] = [Math.round(exact.x), Math.round(exact.y)];
    redraw();
    document.dispatchEvent(new CustomEvent("emulsion:canvas-view"));
  }

  function middle(scale) {
    const { width, height } = picture();
    put(scale, (paper.width - width * scale) / 2, (paper.height - height * scale) / 2);
  }

  function fit() {
    view.fitted = true;
    if (!picture() || !paper) return;
    middle(fitting());
  }

  // Zooms so that the pixel under (x, y) of the screen, in its pixels from the canvas's corner, stays there.
  function zoom(factor, x = paper.width / 2, y = paper.height / 2) {
    if (!picture()) return;
    const scale = Math.min(LARGEST, Math.max(smallest(), view.scale * factor));
    const share = scale / view.scale;
    view.fitted = false;
    put(scale, x - (x - exact.x) * share, y - (y - exact.y) * share);
  }

  const actualSize = () => zoom(1 / view.scale);

  function pan(dx, dy) {
    if (!picture()) return;
    view.fitted = false;
    put(view.scale, exact.x + dx, exact.y + dy);
  }

  // Keeps the middle of what is seen in the middle.
  function resize() {
    if (!paper) return;
    const [width, height] = [paper.clientWidth, paper.clientHeight].map((side) => Math.round(side * devicePixelRatio));
    if (!width || !height) return; // hidden: it keeps what it shows
    const [dx, dy] = [(width - paper.width) / 2, (height - paper.height) / 2];
    const share = devicePixelRatio / view.ratio;
    if (!dx && !dy && share === 1) return;
    Object.assign(paper, { width, height });
    veil = null;
    view.ratio = devicePixelRatio;
    if (picture() && !view.fitted && share === 1) put(view.scale, view.x + dx, view.y + dy);
    else if (picture() && !view.fitted) put(view.scale * share, view.x * share, view.y * share);
    else fit();
    draw(); // at once: setting its size has emptied it
  }

  // ---- drawing ----

  // Asks for a frame; `box` is in the picture's pixels, without one all is drawn.
  function redraw(box) {
    if (!paper) return;
    const found = box
      ? {
          left: Math.max(0, Math.floor(view.x + box.left * view.scale) - 4),
          top: Math.max(0, Math.floor(view.y + box.top * view.scale) - 4),
          right: Math.min(paper.width, Math.ceil(view.x + box.right * view.scale) + 4),
          bottom: Math.min(paper.height, Math.ceil(view.y + box.bottom * view.scale) + 4),
        }
      : everything();
    if (!dirty) requestAnimationFrame(draw);
    dirty = dirty ? union(dirty, found) : found;
  }

  const union = (a, b) => ({
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  });

  function draw() {
    const box = dirty;
    dirty = null;
    if (!box || box.right <= box.left || box.bottom <= box.top) return;
    context.save();
    context.beginPath();
    context.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    context.clip();
    context.clearRect(0, 0, paper.width, paper.height);
    if (picture()) {
      drawPicture();
      drawVeil(box);
      extra(context, view);
    }
    context.restore();
  }

  function drawPicture() {
    const { bitmap, width, height } = picture();
    const place = [view.x, view.y, width * view.scale, height * view.scale];
    context.fillStyle = squares(); // seen through transparent pixels
    context.fillRect(...place.map(Math.floor));
    context.imageSmoothingEnabled = view.scale < 2;
    context.imageSmoothingQuality = view.scale < 1 ? "medium" : "low";
    context.drawImage(bitmap, ...place);
  }

  let pattern = null;
  function squares() {
    if (pattern) return pattern;
    const tile = new OffscreenCanvas(16, 16).getContext("2d");
    tile.fillStyle = "#fff";
    tile.fillRect(0, 0, 16, 16);
    tile.fillStyle = "#d4d4d0";
    tile.fillRect(0, 0, 8, 8);
    tile.fillRect(8, 8, 8, 8);
    return (pattern = context.createPattern(tile.canvas, "repeat"));
  }

  // The mask or sketch for a box of the screen.
  function drawVeil(box) {
    const layer = emulsion.canvas.layer();
    if (!layer || !layer.tiles.size || (layer.channels === 1 && !view.maskShown)) return;
    const image = new ImageData(box.right - box.left, box.bottom - box.top);
    if (layer.channels === 4) samples(layer, box, image.data);
    else tint(layer, box, image);
    veil ??= new OffscreenCanvas(paper.width, paper.height).getContext("2d");
    veil.putImageData(image, box.left, box.top);
    const place = [box.left, box.top, image.width, image.height];
    context.drawImage(veil.canvas, ...place, ...place);
  }

  // The mask's mean values become a tint, with a light and a dark line where it is about to fade out.
  function tint(layer, box, { data, width, height }) {
    const rim = Math.max(1, Math.round(view.ratio));
    const wide = width + 2 * rim;
    const outer = { left: box.left - rim, top: box.top - rim, right: box.right + rim, bottom: box.bottom + rim };
    const values = samples(layer, outer, new Uint8ClampedArray(wide * (height + 2 * rim)));
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = (y + rim) * wide + x + rim;
        const value = values[at];
        const inside = value > RIM;
        const edge =
          values[at - rim] > RIM !== inside ||
          values[at + rim] > RIM !== inside ||
          values[at - rim * wide] > RIM !== inside ||
          values[at + rim * wide] > RIM !== inside;
        if (!value && !edge) continue;
        const to = 4 * (y * width + x);
        for (let c = 0; c < 3; c++) data[to + c] = edge ? (inside ? 255 : 20) : MASK[c];
        data[to + 3] = edge ? 220 : value * MASK[3];
      }
    }
  }

  // For the pixels of a line of the screen: the picture's pixels to look at, several for each where they are smaller.
  function lookAt(start, end, offset, count, size) {
    const places = new Int32Array((end - start) * count);
    for (let i = 0; i < places.length; i++) {
      const at = Math.floor((start + (i + 0.5) / count - offset) / view.scale);
      places[i] = at >= 0 && at < size ? at : -1;
    }
    return places;
  }

  // Mean values of a layer under each pixel of a box of the screen, into an array of the layer's channels.
  function samples(layer, box, result) {
    const count = Math.min(SAMPLES, Math.max(1, Math.ceil(1 / view.scale)));
    const xs = lookAt(box.left, box.right, view.x, count, layer.width);
    const ys = lookAt(box.top, box.bottom, view.y, count, layer.height);
    const { tiles, across, channels } = layer;
    const sums = new Float64Array((xs.length / count) * channels);
    for (let row = 0; row < ys.length; row++) {
      const first = Math.floor(ys[row] / TILE) * across; // tile of the line
      if (ys[row] >= 0) addRow(sums, xs, count, channels, (column) => tiles.get(first + column), ys[row] % TILE);
      if ((row + 1) % count) continue;
      const start = ((row + 1) / count - 1) * sums.length;
      if (channels === 1) for (let i = 0; i < sums.length; i++) result[start + i] = sums[i] / (count * count);
      else meanColours(sums, count * count, result, start);
      sums.fill(0);
    }
    return result;
  }

  // Adds one line of the picture; colours are weighed by their alpha.
  function addRow(sums, xs, count, channels, tileAt, line) {
    let column = -1;
    let tile;
    for (let i = 0; i < xs.length; i++) {
      const x = xs[i];
      if (x < 0) continue;
      if (x >> 8 !== column) {
        column = x >> 8;
        tile = tileAt(column);
      }
      if (!tile) continue;
      const at = (line * TILE + (x & 255)) * channels;
      const to = Math.floor(i / count) * channels;
      if (channels === 1) {
        sums[to] += tile[at];
        continue;
      }
      const alpha = tile[at + 3];
      if (!alpha) continue;
      sums[to] += tile[at] * alpha;
      sums[to + 1] += tile[at + 1] * alpha;
      sums[to + 2] += tile[at + 2] * alpha;
      sums[to + 3] += alpha;
    }
  }

  function meanColours(sums, number, result, start) {
    for (let i = 0; i < sums.length; i += 4) {
      const alpha = sums[i + 3];
      if (!alpha) continue;
      for (let c = 0; c < 3; c++) result[start + i + c] = sums[i + c] / alpha;
      result[start + i + 3] = alpha / number;
    }
  }

  // ---- start ----

  const watching = new ResizeObserver(resize);

  function attach() {
    watching.disconnect();
    paper = one("#em-canvas-paper");
    context = paper.getContext("2d");
    [veil, pattern, view.fitted] = [null, null, true];
    [paper.width, paper.height] = [1, 1];
    watching.observe(paper); // which tells its size, and so draws
  }

  let last = null;
  document.addEventListener("emulsion:canvas", ({ detail }) => {
    const size = picture() && `${picture().width}×${picture().height}`;
    const other = picture() !== last?.picture && size !== last?.size; // a picture of the same size is looked at alike
    last = { picture: picture(), size };
    if (other) fit();
    if (!detail.drawn) redraw();
  });
  document.addEventListener("emulsion:canvas-mode", () => redraw());
  window.addEventListener("resize", resize); // for another devicePixelRatio
  onAppear("#em-canvas-file", attach); // the last of its elements: all others are there

  const setExtra = (act) => (extra = act);
  emulsion.canvasView = { view, place, onScreen, fit, zoom, actualSize, pan, redraw, setExtra, paper: () => paper };
})();
