// The canvas's pictures from and to files, and what the browser keeps of them over a reload.
"use strict";

(() => {
  const { t, ask, address, stored, store } = emulsion;
  const { TILE, makeLayer, eachTile, whole } = emulsion.paint;
  const MAX_PIXELS = 64_000_000; // as the server's
  const DATABASE = "emulsion.canvas";
  const SESSION_KEY = "emulsion.canvas.session";
  const SESSIONS = 4; // browser tabs whose canvas is kept
  const SESSION_DAYS = 7;

  // ---- reading ----

  async function blobFrom(source) {
    if (source instanceof Blob) return source;
    const answer = await fetch(source);
    if (!answer.ok) throw new Error(t("canvas.unreadable"));
    return answer.blob();
  }

  // A picture that this browser can show: what it cannot, such as TIFF, comes back from the server as PNG. The server
  // also says what is wrong with a file that is no picture.
  async function showable(source) {
    const blob = await blobFrom(source);
    try {
      await sizeOf(blob);
      return blob;
    } catch (unreadable) {
      const headers = { "Content-Type": "application/octet-stream" };
      const { id } = await ask("uploads", { method: "POST", headers, body: blob }).catch((refused) => {
        throw refused.parts?.found ? refused : unreadable;
      });
      return blobFrom(address(`uploads/${id.slice("blob:".length)}`));
    }
  }

  // The size as shown, without decoding: what is too large must not fill the memory first.
  async function sizeOf(blob) {
    const image = new Image();
    const url = URL.createObjectURL(blob);
    try {
      await new Promise((loaded, failed) => {
        [image.onload, image.onerror] = [loaded, failed];
        image.src = url;
      });
      return [image.naturalWidth, image.naturalHeight];
    } catch {
      throw new Error(t("canvas.unreadable"));
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  // A bitmap of at most MAX_PIXELS. Throws an Error in the reader's language.
  async function decode(blob, options) {
    const [width, height] = await sizeOf(blob);
    if (!width || !height) throw new Error(t("canvas.unreadable"));
    if (width * height > MAX_PIXELS) {
      throw new Error(t("canvas.too_large", { width, height, limit: MAX_PIXELS / 1e6 }));
    }
    try {
      return await createImageBitmap(blob, options);
    } catch {
      throw new Error(t("canvas.unreadable"));
    }
  }

  // EXIF 2.3, tag 0x0112: how the picture lies, as [1..8, the place of this number's low byte]; 1 is upright. The block
  // follows "Exif\0\0" in JPEG, and lies in a chunk "eXIf" of PNG or "EXIF" (with four bytes of length) of WebP.
  function orientation(bytes) {
    const view = new DataView(bytes.buffer);
    for (let at = 8; at < bytes.length - 14; at++) {
      const little = bytes[at] === 0x49 && bytes[at + 1] === 0x49 && bytes[at + 2] === 42 && bytes[at + 3] === 0;
      const big = bytes[at] === 0x4d && bytes[at + 1] === 0x4d && bytes[at + 2] === 0 && bytes[at + 3] === 42;
      if (!little && !big) continue;
      if (!/exif/i.test(String.fromCharCode(...bytes.subarray(at - 8, at)))) continue;
      const first = at + view.getUint32(at + 4, little);
      if (first + 2 > bytes.length) return [1, 0];
      const end = Math.min(bytes.length - 11, first + 2 + 12 * view.getUint16(first, little));
      for (let entry = first + 2; entry < end; entry += 12) {
        if (view.getUint16(entry, little) !== 0x0112) continue;
        return [view.getUint16(entry + 8, little), entry + (little ? 8 : 9)];
      }
      return [1, 0];
    }
    return [1, 0];
  }

  const TURNS = {
    ...{ 2: [-1, 0, 0, 1, 1, 0], 3: [-1, 0, 0, -1, 1, 1], 4: [1, 0, 0, -1, 0, 1], 5: [0, 1, 1, 0, 0, 0] },
    ...{ 6: [0, 1, -1, 0, 1, 0], 7: [0, -1, -1, 0, 1, 1], 8: [0, -1, 1, 0, 0, 1] },
  }; // the last two are shares of the new width and height

  // Browsers agree on the orientation of JPEG only, so it is taken out of the file and done here.
  async function decodeUpright(blob, options) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const [lies, place] = orientation(bytes);
    if (!TURNS[lies]) return [await decode(blob, options), true];
    bytes[place] = 1;
    const lying = await decode(new Blob([bytes], { type: blob.type }), options);
    const sides = lies > 4 ? [lying.height, lying.width] : [lying.width, lying.height];
    const context = new OffscreenCanvas(...sides).getContext("2d");
    const [a, b, c, d, right, down] = TURNS[lies];
    context.setTransform(a, b, c, d, right * sides[0], down * sides[1]);
    context.drawImage(lying, 0, 0);
    return [context.canvas.transferToImageBitmap(), false];
  }

  // {blob, bitmap, name, width, height, upright, mask, sketch}; `upright` says whether the file itself is, so that its
  // bytes may go to the server as they are.
  async function open(source, name) {
    const blob = await showable(source);
    const [bitmap, upright] = await decodeUpright(blob);
    const { width, height } = bitmap;
    const layers = { mask: makeLayer(width, height, 1), sketch: makeLayer(width, height, 4) };
    return { blob, bitmap, name: name || source.name || "", width, height, upright, ...layers };
  }

  // Pixels of a bitmap, four bytes each, for the rows from `top` on.
  function reader(bitmap) {
    let context = null;
    return (top, rows) => {
      if (!context || context.canvas.height < rows) {
        context = new OffscreenCanvas(bitmap.width, rows).getContext("2d", { willReadFrequently: true });
      }
      context.globalCompositeOperation = "copy";
      context.drawImage(bitmap, 0, -top);
      return context.getImageData(0, 0, bitmap.width, rows).data;
    };
  }

  // A mask from a file, as value(x, y): its alpha where it has any, else its light (ITU-R BT.601). Nearest pixels where
  // the size differs.
  async function openMask(source, width, height) {
    const [bitmap] = await decodeUpright(await showable(source), { colorSpaceConversion: "none" });
    const values = new Uint8ClampedArray(bitmap.width * bitmap.height);
    const alphas = new Uint8ClampedArray(values.length);
    const read = reader(bitmap);
    for (let top = 0; top < bitmap.height; top += TILE) {
      const data = read(top, Math.min(TILE, bitmap.height - top));
      for (let i = 0, at = top * bitmap.width; i < data.length; i += 4, at++) {
        values[at] = (299 * data[i] + 587 * data[i + 1] + 114 * data[i + 2]) / 1000;
        alphas[at] = data[i + 3];
      }
    }
    const chosen = alphas.some((alpha) => alpha < 255) ? alphas : values;
    const nearest = (place, from, to) => Math.min(to - 1, Math.floor(((place + 0.5) * to) / from));
    return {
      scaled: bitmap.width !== width || bitmap.height !== height,
      value: (x, y) => chosen[nearest(y, height, bitmap.height) * bitmap.width + nearest(x, width, bitmap.width)],
    };
  }

  // ---- writing ----

  function canvasOf({ width, height }, options) {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    return canvas.getContext("2d", options);
  }

  const png = (context) =>
    new Promise((done, failed) =>
      context.canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error(t("canvas.no_memory")))), "image/png"),
    );

  function maskFile(layer) {
    const context = canvasOf(layer, { alpha: false });
    eachTile(layer, whole(layer), (index, { x, y }) => {
      const image = new ImageData(TILE, TILE);
      const words = new Uint32Array(image.data.buffer);
      const tile = layer.tiles.get(index);
      for (let i = 0; i < words.length; i++) words[i] = 0xff000000 | ((tile?.[i] ?? 0) * 0x010101);
      context.putImageData(image, x, y);
    });
    return png(context);
  }

  // The picture with or without its sketch, as a context.
  function flattened({ bitmap, sketch }, withSketch) {
    const context = canvasOf(bitmap);
    context.drawImage(bitmap, 0, 0);
    if (!withSketch) return context;
    const patch = new OffscreenCanvas(TILE, TILE).getContext("2d");
    eachTile(sketch, whole(sketch), (index, { x, y }) => {
      const tile = sketch.tiles.get(index);
      if (!tile) return;
      patch.putImageData(new ImageData(tile, TILE, TILE), 0, 0);
      context.drawImage(patch.canvas, x, y);
    });
    return context;
  }

  const pictureFile = (picture, withSketch) => png(flattened(picture, withSketch));

  // ---- kept by the browser: one picture with its strokes for each browser tab ----

  let database; // a promise
  let kept = null; // the picture whose file is kept
  const session = stored("sessionStorage", SESSION_KEY) ?? Math.random().toString(36).slice(2);
  store("sessionStorage", SESSION_KEY, session);

  const answered = (request) =>
    new Promise((done, failed) => {
      request.onsuccess = () => done(request.result);
      request.onerror = () => failed(request.error);
    });

  function connect() {
    database ??= (async () => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("sessions");
        request.result.createObjectStore("parts");
      };
      const opened = await answered(request);
      await prune(opened);
      return opened;
    })();
    return database;
  }

  const partsOf = (name, ...path) => IDBKeyRange.bound([name, ...path], [name, ...path, []]);

  async function prune(opened) {
    const change = opened.transaction(["sessions", "parts"], "readwrite");
    const sessions = change.objectStore("sessions");
    const [names, times] = await Promise.all([answered(sessions.getAllKeys()), answered(sessions.getAll())]);
    const others = names.map((name, i) => [times[i], name]).filter(([, name]) => name !== session);
    const oldest = Date.now() - SESSION_DAYS * 86_400_000;
    others.sort(([a], [b]) => b - a);
    others.forEach(([time, name], rank) => {
      if (time > oldest && rank < SESSIONS - 1) return;
      sessions.delete(name);
      change.objectStore("parts").delete(partsOf(name));
    });
  }

  // Writes what changed since the last time. A browser that refuses keeps nothing, and the page works all the same.
  async function keep(picture) {
    try {
      const change = (await connect()).transaction(["sessions", "parts"], "readwrite");
      const parts = change.objectStore("parts");
      const anew = kept !== picture;
      if (anew) parts.delete(partsOf(session));
      if (!picture) change.objectStore("sessions").delete(session);
      else {
        change.objectStore("sessions").put(Date.now(), session);
        const { blob, name } = picture;
        if (anew) parts.put({ blob, name }, [session, "picture"]);
        for (const what of ["mask", "sketch"]) keepLayer(parts, what, picture[what], anew);
      }
      kept = picture;
      change.onabort = () => (kept = null);
      change.commit?.();
    } catch {
      kept = null;
    }
  }

  function keepLayer(parts, what, layer, anew) {
    for (const index of anew ? layer.tiles.keys() : layer.unsaved) {
      const tile = layer.tiles.get(index);
      if (tile) parts.put(tile, [session, what, index]);
      else parts.delete([session, what, index]);
    }
    layer.unsaved.clear();
  }

  // The picture of this browser tab as it was before the reload, or null.
  async function recall() {
    try {
      const parts = (await connect()).transaction("parts").objectStore("parts");
      const keys = await answered(parts.getAllKeys(partsOf(session)));
      const values = await answered(parts.getAll(partsOf(session)));
      const file = values[keys.findIndex(([, what]) => what === "picture")];
      if (!file) return null;
      const picture = await open(file.blob, file.name);
      keys.forEach(([, what, index], i) => what !== "picture" && picture[what].tiles.set(index, values[i]));
      kept = picture;
      return picture;
    } catch {
      return null;
    }
  }

  emulsion.canvasFiles = { open, showable, openMask, reader, maskFile, pictureFile, flattened, keep, recall };
})();
