// Two pictures, one over the other, with a line between them to move; at the size of the box or pixel by pixel.
"use strict";

(() => {
  const NEAR = 24; // pixels of the screen around the line that belong to it

  // `root` has the parts of class em-versus-…; returns show({before, after, width, height, label}). Without `before`
  // there is nothing to compare: one picture and no line.
  function versus(root) {
    const part = (name) => root.querySelector(`.em-versus-${name}`);
    const [stage, sheet, range, zoom] = ["stage", "sheet", "range", "zoom"].map(part);
    const [first, second] = sheet.querySelectorAll("img");
    let size = { width: 1, height: 1 };
    let held = null; // what the pointer moves: the line, or the picture {x, y, left, top}
    first.draggable = second.draggable = false;

    const zoomed = () => zoom.getAttribute("aria-pressed") === "true";
    const alone = () => first.hidden;

    // The line's place in the sheet: a share of what can be seen of it.
    function place() {
      const seen = Math.min(stage.clientWidth, sheet.clientWidth);
      const from = zoomed() ? stage.scrollLeft : 0;
      sheet.style.setProperty("--em-cut", alone() ? "0px" : `${from + (seen * range.value) / 100}px`);
    }

    function fit() {
      sheet.style.setProperty("--em-ratio", size.width / size.height);
      sheet.style.width = zoomed() ? `${size.width / devicePixelRatio}px` : "";
      root.classList.toggle("em-versus-zoomed", zoomed());
      place();
    }

    function toggle() {
      const middle = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
      const before = sheet.clientWidth;
      stage.style.height = zoomed() ? "" : `${stage.offsetHeight}px`; // the box stays while the picture grows
      zoom.setAttribute("aria-pressed", String(!zoomed()));
      fit();
      const grown = sheet.clientWidth / before;
      stage.scrollTo(middle[0] * grown - stage.clientWidth / 2, middle[1] * grown - stage.clientHeight / 2);
      place();
    }

    function moveLine(event) {
      const larger = sheet.clientWidth > stage.clientWidth;
      const box = (larger ? stage : sheet).getBoundingClientRect();
      range.value = ((event.clientX - box.left) / box.width) * 100;
      place();
    }

    function press(event) {
      if (event.button !== 0) return;
      const line = part("line").getBoundingClientRect();
      const onLine = !alone() && Math.abs(event.clientX - line.left) < NEAR;
      if (!zoomed() && alone()) return;
      sheet.setPointerCapture(event.pointerId);
      const { clientX, clientY } = event;
      held = zoomed() && !onLine ? { x: clientX, y: clientY, left: stage.scrollLeft, top: stage.scrollTop } : "line";
      if (held === "line") moveLine(event);
    }

    function drag(event) {
      if (!held || !sheet.hasPointerCapture(event.pointerId)) return;
      if (held === "line") moveLine(event);
      else stage.scrollTo(held.left + held.x - event.clientX, held.top + held.y - event.clientY);
    }

    function show({ before, after, width, height, label }) {
      size = { width, height };
      zoom.setAttribute("aria-pressed", "false");
      stage.style.height = "";
      first.hidden = !before;
      if (before) first.src = before;
      else first.removeAttribute("src");
      second.src = after;
      second.alt = label;
      root.classList.toggle("em-versus-alone", alone());
      fit();
    }

    sheet.onpointerdown = press;
    sheet.onpointermove = drag;
    sheet.onpointerup = sheet.onpointercancel = () => (held = null);
    range.oninput = place;
    zoom.onclick = toggle;
    stage.onscroll = place;
    new ResizeObserver(place).observe(stage);
    return show;
  }

  emulsion.versus = versus;
})();
