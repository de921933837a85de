// The canvas's pointers: mouse, pen and fingers paint, pan and zoom. canvas_bar.js holds the buttons and keys.
"use strict";

(() => {
  const { one, onAppear, stored, store } = emulsion;
  const { begin, finish, cancel, pixel, bytes, paintLine, paintRectangle, paintLasso, paintFill } = emulsion.paint;
  const { view, place, onScreen, redraw } = emulsion.canvasView;
  const SETTINGS_KEY = "emulsion.canvas.brush";
  const ERASES = 32 | 2; // of PointerEvent.buttons: a pen's other end, the right button
  const LARGEST = 1024; // pixels across
  const SCROLLING = 250; // milliseconds: a wheel that scrolls the page does not become a zoom in passing
  const brush = { size: 48, hardness: 1, opacity: 1, colour: "#d8482f", ...remembered() };
  const pointers = new Map(); // pressed: id -> event
  let tool = "brush"; // "eraser", "rectangle", "lasso", "fill"
  let picking = false; // the pipette was asked for by its button
  let panning = false; // the space bar is held
  let gesture = null; // what the pressed pointer does: {kind, move, end, cancel}
  let lastPoint = null; // where a straight line of the next stroke starts
  let pen = false; // once there is a pen, fingers do not paint
  let lastScroll = 0;
  let control = false; // the key is held; two fingers on a touchpad are told as a wheel with the key, but press none

  function remembered() {
    try {
      return JSON.parse(stored("localStorage", SETTINGS_KEY) ?? "{}");
    } catch {
      return {};
    }
  }

  const tell = () => document.dispatchEvent(new CustomEvent("emulsion:canvas-tool"));

  function setBrush(values) {
    Object.assign(brush, values);
    brush.size = Math.min(LARGEST, Math.max(1, Math.round(brush.size)));
    brush.hardness = Math.min(1, Math.max(0, brush.hardness));
    store("localStorage", SETTINGS_KEY, JSON.stringify(brush));
    tell();
    moveRing();
  }

  function setTool(name) {
    tool = name;
    picking = false;
    tell();
    moveRing();
  }

  function setPicking(on) {
    picking = on && emulsion.canvas.mode() === "sketch";
    tell();
  }

  // ---- what a pressed pointer does ----

  const numbers = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

  const paintOf = (event) => ({
    hardness: brush.hardness,
    opacity: brush.opacity,
    colour: numbers(brush.colour),
    erase: tool === "eraser" || Boolean(event.buttons & ERASES),
  });

  function dab(event) {
    const share = event.pointerType === "pen" && event.pressure ? Math.max(0.1, event.pressure) : 1;
    return { ...place(event), radius: (brush.size / 2) * share };
  }

  // The points of a move: a fast pointer has several for one frame of the screen.
  function points(event) {
    const all = event.getCoalescedEvents?.() ?? [];
    return all.length ? all : [event];
  }

  function stroke(event) {
    const [layer, paint] = [emulsion.canvas.layer(), paintOf(event)];
    const step = begin(layer);
    let at = dab(event);
    const start = event.shiftKey && lastPoint?.layer === layer ? { ...lastPoint.at, radius: at.radius } : at;
    redraw(paintLine(step, start, at, paint));
    return {
      move(moved) {
        for (const point of points(moved)) {
          const next = dab(point);
          redraw(paintLine(step, at, next, paint));
          at = next;
        }
      },
      end() {
        lastPoint = { layer, at };
        if (finish(step)) emulsion.canvas.changed("strokes", true);
      },
      cancel: () => (cancel(step), redraw()),
    };
  }

  // Rectangle and lasso: a line while the pointer moves, painted when it is let go.
  function shape(event) {
    const paint = paintOf(event);
    const step = begin(emulsion.canvas.layer());
    const line = [place(event)];
    const lasso = tool === "lasso";
    return {
      line: () => (lasso ? line : corners(line[0], line.at(-1))),
      move(moved) {
        for (const point of points(moved)) line.push(place(point));
        redraw();
      },
      end() {
        if (lasso && line.length > 2) paintLasso(step, line, paint);
        if (!lasso && line.length > 1) paintRectangle(step, line[0], line.at(-1), paint);
        redraw();
        if (finish(step)) emulsion.canvas.changed("strokes");
      },
      cancel: () => redraw(),
    };
  }

  const corners = (a, b) => [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];

  const outside = ({ width, height }, { x, y }) => x < 0 || y < 0 || x >= width || y >= height;

  function fill(event) {
    const [layer, picture, point] = [emulsion.canvas.layer(), emulsion.canvas.current(), place(event)];
    if (outside(layer, point)) return null;
    const { flattened } = emulsion.canvasFiles;
    const colours = () => flattened(picture, true).getImageData(0, 0, layer.width, layer.height).data;
    const step = begin(layer);
    paintFill(step, point, paintOf(event), layer.channels === 1 ? bytes(layer) : colours());
    if (finish(step)) emulsion.canvas.changed("strokes");
    return null;
  }

  // Takes the colour under the pointer, of picture and sketch together.
  function pick(event) {
    const { bitmap, sketch } = emulsion.canvas.current();
    const eye = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const take = (moved) => {
      const { x, y } = place(moved);
      if (outside(sketch, { x, y })) return;
      eye.drawImage(bitmap, -Math.floor(x), -Math.floor(y));
      const under = eye.getImageData(0, 0, 1, 1).data;
      const [r, g, b, alpha] = pixel(sketch, Math.floor(x), Math.floor(y));
      const seen = [r, g, b].map((over, i) => Math.round((over * alpha + under[i] * (255 - alpha)) / 255));
      setBrush({ colour: `#${seen.map((value) => value.toString(16).padStart(2, "0")).join("")}` });
    };
    take(event);
    return { move: take, end: () => setPicking(false), cancel: () => setPicking(false) };
  }

  function pan(event) {
    let [x, y] = onScreen(event.clientX, event.clientY);
    const move = (moved) => {
      const [nx, ny] = onScreen(moved.clientX, moved.clientY);
      emulsion.canvasView.pan(nx - x, ny - y);
      [x, y] = [nx, ny];
    };
    one("#em-canvas").dataset.panning = "";
    const end = () => delete one("#em-canvas").dataset.panning;
    return { move, end, cancel: end };
  }

  // Two fingers: their middle moves the picture, their distance zooms it.
  function pinch() {
    const look = () => {
      const [a, b] = [...pointers.values()].map(({ clientX, clientY }) => onScreen(clientX, clientY));
      return { x: (a[0] + b[0]) / 2, y: (a[1] + b[1]) / 2, apart: Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1])) };
    };
    let before = look();
    const move = () => {
      const now = look();
      emulsion.canvasView.pan(now.x - before.x, now.y - before.y);
      emulsion.canvasView.zoom(now.apart / before.apart, now.x, now.y);
      before = now;
    };
    return { move, end() {}, cancel() {} };
  }

  const SHAPES = { brush: stroke, eraser: stroke, rectangle: shape, lasso: shape, fill };

  function choose(event) {
    const finger = event.pointerType === "touch";
    if (event.button === 1 || panning || !emulsion.canvas.layer() || (finger && pen)) return pan;
    if (emulsion.canvas.mode() === "sketch" && (picking || event.altKey)) return pick;
    return SHAPES[tool];
  }

  // ---- pointers ----

  function down(event) {
    if (!emulsion.canvas.has() || event.target !== emulsion.canvasView.paper()) return;
    if (event.button > 2 && event.button !== 5) return;
    pen ||= event.pointerType === "pen";
    event.currentTarget.focus({ preventScroll: true, focusVisible: false });
    event.target.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size > 2 || (pointers.size === 2 && event.pointerType !== "touch")) return;
    gesture?.cancel();
    const act = pointers.size === 2 ? pinch : choose(event);
    if (act !== pan && act !== pinch && !view.maskShown) {
      view.maskShown = true; // nobody paints what they cannot see
      redraw();
    }
    gesture = act(event);
    tell();
  }

  function move(event) {
    moveRing(event);
    if (!pointers.has(event.pointerId)) return;
    pointers.set(event.pointerId, event);
    gesture?.move(event);
  }

  function up(event) {
    if (!pointers.delete(event.pointerId)) return;
    const ended = gesture;
    gesture = null; // a finger left over from a pinch does nothing
    ended?.end(event);
    tell();
  }

  function abort(event) {
    if (event) pointers.delete(event.pointerId);
    gesture?.cancel();
    const any = Boolean(gesture);
    gesture = null;
    return any;
  }

  function wheel(event) {
    if (!emulsion.canvas.has()) return;
    if (!event.ctrlKey && performance.now() - lastScroll < SCROLLING) return;
    event.preventDefault();
    event.stopPropagation();
    const lines = event.deltaMode === 1 ? 24 : event.deltaMode === 2 ? 400 : 1;
    const turned = Math.min(200, Math.max(-200, event.deltaY * lines));
    if (event.ctrlKey && control && emulsion.canvas.layer()) {
      const size = brush.size * Math.exp(-turned / 700);
      return setBrush({ size: turned > 0 ? Math.min(brush.size - 1, size) : Math.max(brush.size + 1, size) });
    }
    const amount = turned * (event.ctrlKey && !event.deltaMode ? 3 : 1);
    emulsion.canvasView.zoom(Math.exp(-amount / 500), ...onScreen(event.clientX, event.clientY));
    moveRing(event);
  }

  // ---- the brush's outline at the pointer ----

  let pointer = null; // where it was last

  function moveRing(event = pointer) {
    pointer = event;
    const ring = one("#em-canvas-ring");
    if (!ring) return;
    const paints = ["brush", "eraser"].includes(tool) && emulsion.canvas.layer() && !picking && !panning;
    ring.hidden = !event || !paints || event.pointerType === "touch";
    if (ring.hidden) return;
    const box = emulsion.canvasView.paper().getBoundingClientRect();
    const size = Math.max(3, (brush.size * view.scale) / view.ratio);
    ring.style.width = ring.style.height = `${size}px`;
    const [x, y] = [event.clientX - box.left - size / 2, event.clientY - box.top - size / 2];
    ring.style.transform = `translate(${x}px, ${y}px)`;
  }

  // The line of a rectangle or lasso that is being drawn.
  function drawLine(context, { x, y, scale, ratio }) {
    const line = gesture?.line?.();
    if (!line) return;
    context.beginPath();
    for (const point of line) context.lineTo(x + point.x * scale, y + point.y * scale);
    context.closePath();
    for (const [colour, dash] of [["#000", []], ["#fff", [5 * ratio, 5 * ratio]]]) {
      context.lineWidth = 1.5 * ratio;
      context.strokeStyle = colour;
      context.setLineDash(dash);
      context.stroke();
    }
  }

  onAppear("#em-canvas-stage", (stage) => {
    stage.addEventListener("pointerdown", down);
    stage.addEventListener("mousedown", (event) => {
      if (event.target === emulsion.canvasView.paper()) event.preventDefault(); // no selecting, no scrolling
    });
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", up);
    stage.addEventListener("pointercancel", abort);
    stage.addEventListener("pointerleave", () => moveRing(null));
    stage.addEventListener("wheel", wheel, { passive: false });
    stage.addEventListener("contextmenu", (event) => emulsion.canvas.layer() && event.preventDefault());
  });
  for (const name of ["keydown", "keyup"]) {
    window.addEventListener(name, ({ key, ctrlKey }) => (control = ctrlKey || (key === "Control" && name === "keydown")), true);
  }
  window.addEventListener("blur", () => (control = false));
  window.addEventListener("wheel", () => (lastScroll = performance.now()), { passive: true });
  document.addEventListener("emulsion:canvas-view", () => moveRing());
  document.addEventListener("emulsion:canvas-mode", () => (abort(), setPicking(false), moveRing()));
  emulsion.canvasView.setExtra(drawLine);

  emulsion.canvasTools = {
    ...{ brush, setBrush, setTool, setPicking, abort },
    tool: () => tool,
    picking: () => picking,
    busy: () => Boolean(gesture),
    hovered: () => Boolean(pointer),
    setPanning(on) {
      panning = on;
      tell();
      moveRing();
    },
    panning: () => panning,
  };
})();
