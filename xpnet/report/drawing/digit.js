// A drawing as an image like MNIST's, by the same steps as `xpnet.data.load_digit`.
//
// MNIST's digits were scaled, without distortion, to fit into a box of 20 x 20 pixels, and then placed
// with their centre of mass at the centre of 28 x 28 (LeCun, Bottou, Bengio and Haffner, 1998). Scaling
// averaged, so that edges are grey. A network recognises a drawing only if it is prepared like that:
//
//     ink, from 0 to 1 -> cut out -> scaled to 20 x 20 -> centred in 28 x 28
//
// A picture is {width, height, ink}, where ink is a Float32Array, row by row.

const FIELD = 28; // pixels: the side of MNIST's images
const BOX = 20; // pixels: the longer side of MNIST's digits
const CENTRE = 14; // MNIST's centres of mass round to pixel (14, 14)
const SHEET = 128; // pixels: a drawing is averaged down to about this side,
const DIGIT = 40; // pixels: but less far if its digit would become smaller than this
const FLOOR = 0.4; // times the strongest ink: weaker ink is the edge of a line

/** The ink of a drawing as 28 x 28 numbers from 0 to 1; null if there is none. */
function digitOf(drawing) {
  let step = Math.max(1, rounded(drawing.width / SHEET));
  let sheet = withoutFaintInk(reduced(drawing, step));
  let box = boxOf(sheet);
  if (box === null) return null;
  const longer = Math.max(box.right - box.left, box.bottom - box.top);
  if (step > 1 && longer < DIGIT) {
    step = Math.max(1, Math.floor((step * longer) / DIGIT));
    sheet = withoutFaintInk(reduced(drawing, step));
    box = boxOf(sheet);
  }
  return centred(fitted(cut(sheet, box)));
}

/** Each pixel is the mean of step x step pixels. */
function reduced({ width, height, ink }, step) {
  const found = empty(Math.ceil(width / step), Math.ceil(height / step));
  const sums = found.ink;
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / step) * found.width;
    for (let x = 0; x < width; x++) sums[row + Math.floor(x / step)] += ink[y * width + x];
  }
  return { ...found, ink: sums.map((sum) => sum / (step * step)) };
}

function withoutFaintInk(picture) {
  const least = FLOOR * largest(picture.ink);
  return { ...picture, ink: picture.ink.map((value) => (value < least ? 0 : value)) };
}

/** The box around all ink; null if there is none. */
function boxOf({ width, height, ink }) {
  const box = { left: width, top: height, right: 0, bottom: 0 };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] === 0) continue;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y + 1);
    }
  }
  return box.right === 0 ? null : box;
}

function cut({ width, ink }, { left, top, right, bottom }) {
  const found = empty(right - left, bottom - top);
  for (let y = top; y < bottom; y++) {
    found.ink.set(ink.subarray(y * width + left, y * width + right), (y - top) * found.width);
  }
  return found;
}

/** The picture, scaled so that its longer side is 20 pixels and its strongest pixel is 1. */
function fitted(picture) {
  const scale = BOX / Math.max(picture.width, picture.height);
  const width = Math.max(1, rounded(picture.width * scale));
  const height = Math.max(1, rounded(picture.height * scale));
  const narrow = withWidth(picture, width);
  const small = transposed(withWidth(transposed(narrow), height));
  const strongest = largest(small.ink); // averaging makes thin lines faint
  return { ...small, ink: small.ink.map((value) => value / strongest) };
}

/** The picture at another width: Pillow's bilinear filter, which widens as it shrinks a picture. */
function withWidth(picture, width) {
  const found = empty(width, picture.height);
  const scale = picture.width / width;
  const reach = Math.max(scale, 1);
  for (let x = 0; x < width; x++) {
    const middle = (x + 0.5) * scale;
    const first = Math.max(0, Math.floor(middle - reach + 0.5));
    const end = Math.min(picture.width, Math.floor(middle + reach + 0.5));
    let total = 0;
    for (let from = first; from < end; from++) {
      const weight = Math.max(0, 1 - Math.abs(from + 0.5 - middle) / reach);
      total += weight;
      for (let y = 0; y < picture.height; y++) {
        found.ink[y * width + x] += weight * picture.ink[y * picture.width + from];
      }
    }
    for (let y = 0; y < picture.height; y++) found.ink[y * width + x] /= total;
  }
  return found;
}

function transposed({ width, height, ink }) {
  const found = empty(height, width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) found.ink[x * height + y] = ink[y * width + x];
  }
  return found;
}

/** The picture in a blank field of 28 x 28, its centre of mass as near the middle as possible. */
function centred({ width, height, ink }) {
  let mass = 0;
  let horizontal = 0;
  let vertical = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = ink[y * width + x];
      mass += value;
      horizontal += value * x;
      vertical += value * y;
    }
  }
  const left = placed(horizontal / mass, width);
  const top = placed(vertical / mass, height);
  const field = empty(FIELD, FIELD);
  for (let y = 0; y < height; y++) {
    field.ink.set(ink.subarray(y * width, (y + 1) * width), (top + y) * FIELD + left);
  }
  return field.ink;
}

/** Where something of this centre and length begins, so that it is within the field. */
function placed(centre, length) {
  return Math.min(Math.max(rounded(CENTRE - centre), 0), FIELD - length);
}

/** The nearest integer; of two that are equally near, the even one, as Python rounds. */
function rounded(number) {
  const isHalf = Math.abs(number % 1) === 0.5;
  return isHalf ? 2 * Math.round(number / 2) : Math.round(number);
}

function empty(width, height) {
  return { width, height, ink: new Float32Array(width * height) };
}

function largest(values) {
  return values.reduce((most, value) => Math.max(most, value), 0);
}
