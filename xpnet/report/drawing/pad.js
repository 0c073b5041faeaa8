// The sheet on which one draws: with a mouse, a pen or a finger, or with the keyboard.
//
// What was drawn is a list of strokes, each a list of points, in pixels of the canvas. Everything is
// drawn anew after each change, in one colour on a transparent ground: opacity is ink.

const LINE = 1 / 14; // of the side: as thick as a line of MNIST, if the digit fills most of the sheet
const STRIDE = 1 / 28; // of the side: how far an arrow key moves the pen
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Pad {
  /**
   * @param canvas a square one
   * @param pen the element that shows where the pen of the keyboard is
   * @param changed is called after each change
   */
  constructor(canvas, pen, changed) {
    this.canvas = canvas;
    this.side = canvas.width;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.changed = changed;
    this.strokes = [];
    this.pen = pen;
    this.at = [this.side / 2, this.side / 4]; // of the pen of the keyboard
    this.isDown = false; // likewise
    this.held = new Set(); // arrow keys: two of them move diagonally
    this.listen();
  }

  listen() {
    const on = (name, act) => this.canvas.addEventListener(name, act);
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => this.move(event));
    on("keydown", (event) => this.key(event));
    on("keyup", (event) => this.held.delete(event.key));
    on("focus", () => this.show());
    on("blur", () => {
      this.isDown = false;
      this.held.clear();
      this.show();
    });
  }

  press(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([this.pointOf(event)]);
    this.draw();
  }

  move(event) {
    if (!event.isPrimary || !this.canvas.hasPointerCapture(event.pointerId)) return;
    const between = event.getCoalescedEvents?.() ?? [];
    const points = between.length > 0 ? between : [event];
    if (this.strokes.length === 0) this.strokes.push([]); // cleared while the pointer is down
    this.strokes.at(-1).push(...points.map((point) => this.pointOf(point)));
    this.draw();
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.side / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === " ") {
      if (!event.repeat) this.lowerOrLift();
    } else if (event.key in ARROWS) {
      this.held.add(event.key);
      this.step();
    } else {
      return;
    }
    event.preventDefault(); // arrows and space would scroll
    this.show();
  }

  lowerOrLift() {
    this.isDown = !this.isDown;
    if (!this.isDown) return;
    this.strokes.push([[...this.at]]);
    this.draw();
  }

  /** Move the pen of the keyboard by the arrow keys that are held. */
  step() {
    for (const key of this.held) {
      ARROWS[key].forEach((direction, axis) => {
        const place = this.at[axis] + direction * STRIDE * this.side;
        this.at[axis] = Math.min(Math.max(place, 0), this.side);
      });
    }
    if (!this.isDown) return;
    if (this.strokes.length === 0) this.strokes.push([]); // cleared while the pen is down
    this.strokes.at(-1).push([...this.at]);
    this.draw();
  }

  /** Show the pen of the keyboard where it is; the style sheet hides it from others. */
  show() {
    this.pen.style.left = `${(100 * this.at[0]) / this.side}%`;
    this.pen.style.top = `${(100 * this.at[1]) / this.side}%`;
    this.pen.classList.toggle("down", this.isDown);
  }

  undo() {
    this.strokes.pop();
    this.draw();
  }

  clear() {
    this.strokes = [];
    this.isDown = false;
    this.show();
    this.draw();
  }

  draw() {
    const { context, side } = this;
    context.clearRect(0, 0, side, side);
    context.lineWidth = LINE * side;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = context.fillStyle = getComputedStyle(this.canvas).color;
    this.strokes.forEach((stroke) => this.drawStroke(stroke));
    this.changed();
  }

  /** A smooth curve: from the middle between two points to the next, bent towards the point between. */
  drawStroke(stroke) {
    const { context } = this;
    const [[left, top]] = stroke;
    context.beginPath();
    if (stroke.every(([x, y]) => x === left && y === top)) {
      context.arc(left, top, context.lineWidth / 2, 0, 2 * Math.PI); // a line without a length is not drawn
      context.fill();
      return;
    }
    context.moveTo(left, top);
    for (let i = 1; i < stroke.length; i++) {
      const [x, y] = stroke[i - 1];
      const [u, v] = stroke[i];
      context.quadraticCurveTo(x, y, (x + u) / 2, (y + v) / 2);
    }
    context.lineTo(...stroke.at(-1));
    context.stroke();
  }

  /** The drawing: how opaque each pixel is, from 0 to 1. */
  get picture() {
    const { data, width, height } = this.context.getImageData(0, 0, this.side, this.side);
    const ink = new Float32Array(width * height);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i + 3] / 255;
    return { width, height, ink };
  }
}
