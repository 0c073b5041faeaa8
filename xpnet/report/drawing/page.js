// The page: after each change of the drawing it runs the network, and shows what it computed.
//
// `network` describes the network: the dict of `Inspected` in graph.py, and the names of the classes.

const element = (id) => document.getElementById(id);
const network = JSON.parse(element("network").textContent);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// --- the network ----------------------------------------------------------------------------------

/** The bytes that an element of the page holds, compressed, in Base64; the element is emptied. */
async function bytesOf(id) {
  const packed = Uint8Array.from(atob(element(id).textContent), (letter) => letter.charCodeAt(0));
  element(id).textContent = "";
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

/** The module onnxruntime-web. It finds its WebAssembly here, since a page on a disk can fetch no file. */
async function runtime() {
  const code = new Blob([await bytesOf("runtime")], { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(code));
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // several need headers that only a web server can send
  ort.env.wasm.wasmBinary = await bytesOf("wasm");
  return ort;
}

class Network {
  static async start() {
    const found = new Network();
    found.ort = await runtime();
    found.session = await found.ort.InferenceSession.create(await bytesOf("model"), {
      executionProviders: ["wasm"],
    });
    return found;
  }

  /** An output that is the same for each image. */
  async constant(name) {
    return (await this.outputs(new Float32Array(28 * 28), [name]))[name].data;
  }

  /** The outputs of these names for one image; by default those that depend on it. */
  outputs(image, names = [network.scores, ...network.views]) {
    const x = new this.ort.Tensor("float32", image, network.shape);
    return this.session.run({ [network.input]: x }, names);
  }
}

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

// --- what is shown --------------------------------------------------------------------------------

/** The bars of the probabilities, a line for each class. */
class Bars {
  constructor(list, classes) {
    this.lines = classes.map((name) => {
      const line = list.appendChild(document.createElement("li"));
      for (const [kind, text] of [["name", name], ["bar", ""], ["share", ""]]) {
        const part = line.appendChild(document.createElement("span"));
        part.className = kind;
        part.textContent = text;
      }
      return line;
    });
    this.show(null);
  }

  /** Show these probabilities, or none. */
  show(shares) {
    const best = shares === null ? 0 : Math.max(...shares);
    this.lines.forEach((line, i) => {
      const share = shares === null ? 0 : shares[i];
      line.classList.toggle("best", shares !== null && share === best);
      line.style.setProperty("--share", share);
      line.lastChild.textContent = shares === null ? "–" : percent(share);
    });
  }
}

/** A heading, a sentence, and small pictures that are drawn anew for each drawing. */
class Pictures {
  constructor(parent, { title, text }, count) {
    this.grid = document.createElement("div");
    this.grid.className = "maps";
    this.grid.setAttribute("role", "img");
    this.grid.setAttribute("aria-label", `${count} pictures: ${text}`);
    this.canvases = Array.from({ length: count }, () =>
      this.grid.appendChild(document.createElement("canvas")),
    );
    const heading = document.createElement("h3");
    heading.textContent = title;
    const sentence = document.createElement("p");
    sentence.className = "soft";
    sentence.textContent = text;
    parent.append(heading, sentence, this.grid);
  }

  /** Show pictures of this size, one after the other in `values`; the largest number has the full colour. */
  show(values, width, height) {
    const area = width * height;
    const shown = values.subarray(0, area * this.canvases.length);
    const most = shown.reduce((found, value) => Math.max(found, Math.abs(value)), 0) || 1;
    const colours = ["--for", "--against"].map(colourOf);
    this.canvases.forEach((canvas, i) => {
      Object.assign(canvas, { width, height }); // this also blanks it
      const image = new ImageData(width, height);
      for (let k = 0; k < area; k++) {
        const value = shown[i * area + k] / most;
        image.data.set(colours[value < 0 ? 1 : 0], 4 * k);
        image.data[4 * k + 3] = 255 * Math.sqrt(Math.abs(value)); // faint ones would be invisible
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
    });
  }

  blank() {
    for (const canvas of this.canvases) canvas.width = canvas.width; // this blanks it
  }
}

/** A colour of the style sheet, "0, 114, 178", as numbers. */
function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).split(",").map(Number);
}

/** What the network is given: white on black, as in MNIST. */
function showInput(image) {
  const pixels = new ImageData(28, 28);
  image.forEach((value, i) => pixels.data.set([255, 255, 255, 255 * value].map(Math.round), 4 * i));
  element("given").getContext("2d").putImageData(pixels, 0, 0);
}

/** For each of the units that respond most: its weights times the image. */
function contributions(image, weight, responses, count) {
  const { by_unit: byUnit } = network.units;
  const units = [...responses.keys()].sort((i, j) => responses[j] - responses[i]).slice(0, count);
  const found = new Float32Array(units.length * image.length);
  units.forEach((unit, row) => {
    image.forEach((value, pixel) => {
      const place = byUnit ? unit * image.length + pixel : pixel * responses.length + unit;
      found[row * image.length + pixel] = value * weight[place];
    });
  });
  return found;
}

// --- from the drawing to what is shown --------------------------------------------------------------

class Page {
  constructor() {
    this.pad = new Pad(element("pad"), element("pen"), () => this.update());
    this.bars = new Bars(element("bars"), network.classes);
    this.maps = network.maps.map((map) => new Pictures(element("layers"), map, map.count));
    this.units = network.units && new Pictures(element("layers"), network.units, network.units.count);
    this.network = null; // until it has started
    this.isRunning = false;
    this.isStale = false; // it was drawn since the network was run
    element("clear").addEventListener("click", () => this.pad.clear());
    element("undo").addEventListener("click", () => this.pad.undo());
    document.addEventListener("keydown", (event) => this.key(event));
    // The colours of the canvases follow those of the page.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.pad.draw());
  }

  key(event) {
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.altKey || (isCommand && event.key !== "z")) return;
    if (event.key === "c" || event.key === "Escape") this.pad.clear();
    if (event.key === "z") this.pad.undo();
  }

  async start() {
    try {
      const started = await Network.start();
      if (this.units) this.weight = await started.constant(network.units.weight);
      this.network = started;
    } catch (error) {
      const browsers = "Chrome or Edge 117, Firefox 113, Safari 16.4, or later ones";
      this.answer("", `The network could not be started: ${error.message}. The page needs ${browsers}.`);
      throw error;
    }
    await this.update();
  }

  /** Run the network on what is drawn now; while it runs, at most one more run is waiting. */
  async update() {
    this.isStale = true;
    if (this.isRunning || this.network === null) return;
    this.setRunning(true);
    try {
      while (this.isStale) {
        this.isStale = false;
        await this.look();
      }
    } catch (error) {
      this.answer("", `The network failed: ${error.message}.`);
      throw error;
    } finally {
      this.setRunning(false);
    }
  }

  /** `<html data-state="ready">`: the network runs, and what is shown is up to date. */
  setRunning(isRunning) {
    this.isRunning = isRunning;
    document.documentElement.dataset.state = isRunning ? "running" : "ready";
  }

  async look() {
    const image = digitOf(this.pad.picture);
    if (image === null) {
      this.forget();
      return;
    }
    const found = await this.network.outputs(image);
    const scores = found[network.scores].data;
    const shares = network.are_scores ? softmax(scores) : Array.from(scores);
    const best = shares.indexOf(Math.max(...shares));
    this.bars.show(shares);
    this.answer(network.classes[best], `with a probability of ${percent(shares[best])}`);
    showInput(image);
    this.maps.forEach((pictures, i) => {
      const { data, dims } = found[network.maps[i].output];
      pictures.show(data, dims[3], dims[2]);
    });
    if (this.units) {
      const responses = found[network.units.output].data;
      const { count } = network.units;
      this.units.show(contributions(image, this.weight, responses, count), 28, 28);
    }
  }

  /** Show nothing, as nothing is drawn. */
  forget() {
    this.bars.show(null);
    this.answer("", "Draw a digit.");
    showInput(new Float32Array(28 * 28));
    for (const pictures of [...this.maps, this.units]) pictures?.blank();
  }

  /** Show the answer at once, and have it read aloud when the drawing pauses. */
  answer(name, text) {
    element("name").textContent = name;
    element("text").textContent = text;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => {
      element("spoken").textContent = `${name} ${text}`;
    }, 600);
  }
}

new Page().start();
