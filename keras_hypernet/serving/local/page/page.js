"use strict";
// Two cards, each with an image: an array [height][width][channels] of 0 to 255, as in a request.

const element = (id) => document.getElementById(id);
const cards = [];
let models = [], model = null, asked = 0;

async function ask(signature, inputs) {
  const answer = await fetch(`v1/models/${encodeURIComponent(model.name)}:predict`, {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ signature_name: signature, inputs }),
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content.outputs;
}

function paint(canvas, image) {
  const height = image.length, width = image[0].length;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  image.flat().forEach(([red, green = red, blue = red], number) => pixels.data.set([red, green, blue, 255], 4 * number));
  context.putImageData(pixels, 0, 0);
}

function picture(image) {
  const canvas = document.createElement("canvas");
  paint(canvas, image);
  return canvas;
}

// Rotates an image as the training data: counter-clockwise about the centre, nearest neighbour, black outside.
function turn(image, degrees) {
  const height = image.length, width = image[0].length, radians = degrees * Math.PI / 180;
  const cos = Math.cos(radians), sin = Math.sin(radians), black = image[0][0].map(() => 0);
  return image.map((row, y) => row.map((_, x) => {
    const right = x + 0.5 - width / 2, down = y + 0.5 - height / 2;
    const column = Math.floor(cos * right - sin * down + width / 2);
    const line = Math.floor(sin * right + cos * down + height / 2);
    return image[line] && image[line][column] ? image[line][column] : black;
  }));
}

// A weight as a colour: blue below zero, white at zero, red above.
function diverging(value, largest) {
  const part = Math.max(-1, Math.min(1, value / largest)), pale = 255 * (1 - Math.abs(part));
  return part < 0 ? [pale, pale + 0.45 * (255 - pale), 255 - 75 * -part] : [255 - 60 * part, pale + 0.2 * (255 - pale), pale];
}

// A picture of the weights of each unit; of three channels, each has its own colour.
function showKernels(target, kernel) {
  const [height, width, channels] = model.shape;
  const sizes = kernel.flat().map(Math.abs).sort((a, b) => a - b);
  const largest = sizes[Math.floor(0.99 * sizes.length)] || 1;
  target.replaceChildren(...(kernel[0] || []).map((_, unit) => {
    const at = (y, x, c) => kernel[(y * width + x) * channels + c][unit];
    return picture(Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => channels === 1
      ? diverging(at(y, x, 0), largest)
      : [0, 1, 2].map((c) => 127.5 * (1 + Math.max(-1, Math.min(1, at(y, x, c) / largest)))))));
  }));
}

function softmax(logits) {
  const largest = Math.max(...logits), powers = logits.map((value) => Math.exp(value - largest));
  const total = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / total);
}

// Zero is up, and angles go counter-clockwise, like the rotation of images.
function drawDial(svg, shares, predicted, truth) {
  const point = (degrees, radius) => {
    const radians = (degrees + 90) * Math.PI / 180;
    return [radius * Math.cos(radians), -radius * Math.sin(radians)].map((value) => value.toFixed(2));
  };
  const parts = ['<circle class="ring" r="36"/>'];
  shares.forEach((share, number) => {
    const [a, b] = [point(30 * number + 15, 36 * Math.sqrt(share)), point(30 * number - 15, 36 * Math.sqrt(share))];
    parts.push(`<path class="share" d="M0 0L${a}L${b}Z"/>`);
    const [x, y] = point(30 * number, 44);
    parts.push(`<text class="tick" x="${x}" y="${y}">${30 * number}°</text>`);
  });
  const line = (kind, degrees) => {
    const [x, y] = point(degrees, 35);
    parts.push(`<line class="${kind}" x2="${x}" y2="${y}"/>`);
  };
  line("pointer", predicted);
  line("true", truth);
  svg.innerHTML = parts.join("");
}

class Card {
  constructor(root, title, chosen) {
    this.root = root;
    root.append(element("card").content.cloneNode(true));
    this.find("h2").textContent = title;
    this.chosen = chosen;
    this.find(".clear").onclick = () => this.show(this.image.map((row) => row.map((pixel) => pixel.map(() => 0))), -1);
    this.find(".condition").onpointerdown = (event) => this.stroke(event);
    this.find(".condition").onpointermove = (event) => event.buttons && this.stroke(event);
    this.find(".condition").onpointerup = () => this.refresh();
  }

  find(selector) { return this.root.querySelector(selector); }

  useModel() {
    this.find(".drawing").hidden = model.shape[2] !== 1;
    this.find(".choices").replaceChildren(...model.images.map((image, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Image ${number + 1}`);
      button.onclick = () => this.show(image, number);
      button.append(picture(image));
      return button;
    }));
    return this.show(model.images[this.chosen % model.images.length], this.chosen);
  }

  show(image, number) {
    this.image = image;
    this.chosen = number < 0 ? this.chosen : number;
    [...this.find(".choices").children].forEach((b, other) => b.setAttribute("aria-pressed", other === number));
    paint(this.find(".condition"), image);
    return this.refresh();
  }

  stroke(event) {
    if (model.shape[2] !== 1) return;
    event.preventDefault();
    const box = event.target.getBoundingClientRect(), [height, width] = model.shape;
    const across = (event.clientX - box.left) / box.width * width, down = (event.clientY - box.top) / box.height * height;
    this.image = this.image.map((row, y) => row.map(([value], x) => {
      const distance = Math.hypot(x + 0.5 - across, y + 0.5 - down);
      return [Math.max(value, Math.round(255 * Math.max(0, Math.min(1, 2 - distance))))];
    }));
    paint(this.find(".condition"), this.image);
  }

  async refresh() {
    const turned = turn(this.image, Number(element("angle").value)), request = ++asked;
    this.request = request;
    paint(this.find(".turned"), turned);
    try {
      const [logits, weights] = await Promise.all([
        ask("serving_default", { x: [turned], condition: [this.image] }),
        model.units ? ask("generate_weights", { condition: [this.image] }) : null,
      ]);
      if (this.request !== request) return;  // a newer request runs
      const shares = softmax(logits[0]), predicted = 30 * shares.indexOf(Math.max(...shares));
      drawDial(this.find("svg"), shares, predicted, Number(element("angle").value));
      this.find("strong.predicted").textContent = `${predicted}°`;
      this.kernel = weights && weights.hidden_kernel[0];
      this.find(".kernels-title").hidden = !weights;
      showKernels(this.find(".kernels"), this.kernel || []);
      element("error").hidden = true;
      compare();
    } catch (error) {
      fail(`The server says: ${error.message}`);
    }
  }
}

function compare() {
  const [first, second] = cards.map((card) => card.kernel);
  element("apart").hidden = !(first && second);
  element("difference").textContent = "";
  if (!first || !second || first.length !== second.length) return;
  const norm = (kernel) => Math.hypot(...kernel.flat());
  const difference = first.map((row, input) => row.map((value, unit) => value - second[input][unit]));
  const apart = norm(difference) / ((norm(first) + norm(second)) / 2);
  element("difference").textContent = `The two kernels differ by ${Math.round(100 * apart)}% of their size.`;
  showKernels(element("apart-kernels"), difference);
}

function fail(message) {
  element("error").textContent = message;
  element("error").hidden = false;
}

async function start() {
  const answer = await fetch("page/models.json");
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  models = content;
  if (!models.length) throw new Error("this server has no model whose images the page knows.");
  element("model").replaceChildren(...models.map(({ name }) => new Option(name, name)));
  cards.push(new Card(element("first"), "One image", 0), new Card(element("second"), "Another image", 1));
  const use = () => {
    model = models.find(({ name }) => name === element("model").value);
    return Promise.all(cards.map((card) => card.useModel()));
  };
  element("model").onchange = use;
  element("angle").oninput = () => {
    element("angle-shown").textContent = `${element("angle").value}°`;
    cards.forEach((card) => card.refresh());
  };
  await use();
}

start().catch((error) => fail(`Nothing to show: ${error.message}`));
