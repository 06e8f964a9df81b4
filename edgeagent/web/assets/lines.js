// Counting lines over the blurred picture: dragged by a finger, moved by keys, or typed; checked against the traffic.
"use strict";
const SVG = "http://www.w3.org/2000/svg";
const WAYS = { down: [0, 1], up: [0, -1], left: [-1, 0], right: [1, 0] };
const aim = at("aim");
const source = aim.dataset.source;
const lines = JSON.parse(aim.dataset.lines);
let size = [640, 360];
let watching = false;
let shapes = [];

function made(name, attributes, ...inside) {
  const svg = ["g", "line", "circle", "path", "text"].includes(name);
  const one = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  set(one, attributes);
  one.append(...inside);
  return one;
}

const whole = (x, most) => Math.round(Math.min(Math.max(x, 0), most - 1));
const place = (point) => told("at", { x: Math.round(point[0]), y: Math.round(point[1]) });

function move(line, end, x, y) {
  line[end] = [whole(x, size[0]), whole(y, size[1])];
  at("result").textContent = told("unsaved");
  draw();
}

function arrow(line) {
  const [[x1, y1], [x2, y2], way] = [line.from, line.to, WAYS[line.forward]];
  const long = Math.hypot(x2 - x1, y2 - y1) || 1;
  let across = [-(y2 - y1) / long, (x2 - x1) / long];
  if (across[0] * way[0] + across[1] * way[1] < 0) across = [-across[0], -across[1]];
  const reach = size[0] / 14, head = reach / 3;
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const tip = [mx + across[0] * reach, my + across[1] * reach];
  const wing = (side) => [
    tip[0] - across[0] * head + side * -across[1] * head, tip[1] - across[1] * head + side * across[0] * head];
  return `M${mx} ${my}L${tip}M${wing(1)}L${tip}L${wing(-1)}`;
}

function handle(line, number, end) {
  const knob = made("g", { role: "slider", tabindex: "0", "data-of": `${number} ${end}` },
    made("circle", { class: "reach" }), made("circle", { class: "knob" }));
  knob.addEventListener("keydown", (event) => {
    const way = { ArrowDown: WAYS.down, ArrowUp: WAYS.up, ArrowLeft: WAYS.left, ArrowRight: WAYS.right }[event.key];
    if (!way) return;
    event.preventDefault();
    const step = event.shiftKey ? 1 : 8;
    move(line, end, line[end][0] + way[0] * step, line[end][1] + way[1] * step);
  });
  knob.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    knob.focus();
    knob.setPointerCapture(event.pointerId);
    const follow = (moved) => {
      const box = at("lines").getBoundingClientRect();
      move(line, end, ((moved.clientX - box.left) / box.width) * size[0], ((moved.clientY - box.top) / box.height) * size[1]);
    };
    knob.addEventListener("pointermove", follow);
    const done = () => knob.removeEventListener("pointermove", follow);
    knob.addEventListener("pointerup", done, { once: true });
    knob.addEventListener("pointercancel", done, { once: true });
  });
  return knob;
}

// Made once per set of lines and then only moved: what a finger or the keyboard holds must not be replaced under it.
function build() {
  shapes = lines.map((line, number) => ({
    strokes: [made("line", { class: "under" }), made("line", {})],
    arrows: [made("path", { class: "under" }), made("path", {})],
    label: made("text", {}),
    knobs: { from: handle(line, number, "from"), to: handle(line, number, "to") },
  }));
  at("lines").replaceChildren(...shapes.flatMap((one) => [...one.strokes, ...one.arrows, one.label, one.knobs.from, one.knobs.to]));
}

function set(one, attributes) {
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
}

function draw() {
  const reach = size[0] / (at("view").clientWidth || size[0]); // picture pixels in a screen pixel
  at("lines").setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
  lines.forEach((line, number) => {
    const shape = shapes[number];
    const [left, right] = line.from[0] < line.to[0] ? [line.from, line.to] : [line.to, line.from];
    const above = Math.max(24, left[1] + (right[1] - left[1]) / 5 - 12);
    for (const one of shape.strokes) set(one, { x1: line.from[0], y1: line.from[1], x2: line.to[0], y2: line.to[1] });
    for (const one of shape.arrows) set(one, { d: arrow(line) });
    set(shape.label, { x: left[0] + (right[0] - left[0]) / 5 + 16, y: above, "font-size": size[0] / 26, "stroke-width": size[0] / 200 });
    shape.label.textContent = line.id;
    for (const [end, knob] of Object.entries(shape.knobs)) {
      set(knob, {
        "aria-label": told("handle", { id: line.id, end: told(end) }), "aria-valuetext": place(line[end]),
        "aria-valuenow": line[end][0], "aria-valuemin": 0, "aria-valuemax": size[0] - 1,
        transform: `translate(${line[end][0]} ${line[end][1]})`,
      });
      set(knob.firstChild, { r: 28 * reach });
      set(knob.lastChild, { r: 11 * reach });
    }
  });
  for (const field of document.querySelectorAll("#editor input[type=number]")) {
    const line = lines[field.dataset.line];
    if (field !== document.activeElement) field.value = Math.round(line[field.dataset.end][field.dataset.axis]);
  }
}

function field(line, number, end, axis) {
  const id = `line-${number}-${end}-${axis}`;
  const input = made("input", { id, type: "number", inputmode: "numeric", min: 0, "data-line": number, "data-end": end, "data-axis": axis });
  input.value = Math.round(line[end][axis]);
  input.addEventListener("input", () => {
    const point = [...line[end]];
    point[axis] = Number(input.value);
    move(line, end, ...point);
  });
  return made("div", {}, made("label", { for: id }, `${told(end)} ${axis ? "y" : "x"}`), input);
}

function editors() {
  build();
  at("editor").replaceChildren(...lines.map((line, number) => {
    const name = made("input", { id: `line-${number}-id`, maxlength: 40, spellcheck: "false" });
    name.value = line.id;
    name.addEventListener("input", () => { line.id = name.value; draw(); });
    const way = made("select", { id: `line-${number}-way` },
      ...Object.keys(WAYS).map((one) => made("option", { value: one }, told(`towards-${one}`))));
    way.value = line.forward;
    way.addEventListener("change", () => { line.forward = way.value; draw(); });
    const remove = made("button", { type: "button", class: "second" }, told("remove"));
    remove.addEventListener("click", () => { lines.splice(number, 1); editors(); });
    return made("fieldset", { "data-line": number }, made("legend", {}, told("line", { id: line.id })),
      made("p", { class: "crossed" }), made("p", { class: "faults" }),
      made("label", { for: name.id }, told("line-id")), name,
      made("label", { for: way.id }, told("forward")), way,
      made("div", { class: "pair" }, field(line, number, "from", 0), field(line, number, "from", 1),
        field(line, number, "to", 0), field(line, number, "to", 1)), made("p", {}, remove));
  }));
  draw();
}

function judged(found) {
  found.forEach((one, number) => {
    const box = document.querySelector(`#editor fieldset[data-line="${number}"]`);
    if (!box || !lines[number] || lines[number].id !== one.id) return;
    box.querySelector(".crossed").textContent = told("crossed", one);
    const faults = one.faults.map((fault) => `✗ ${told(`fault-${fault}`)}`);
    box.querySelector(".faults").textContent = faults.join(" ") || (one.forward + one.backward ? `✓ ${told("line-ok")}` : "");
  });
}

function trouble(text) {
  at("trouble").hidden = !text;
  at("trouble").textContent = text;
}

async function look() {
  const answer = await fetch(`/camera/picture?source=${encodeURIComponent(source)}`);
  if (answer.status === 410 || answer.status === 403) return stale("closed");
  if (answer.status === 409) {
    const said = await answer.json();
    trouble(`${said.what} ${said.remedy}`);
    watching = false;
    at("before").hidden = false;
    return;
  }
  if (answer.status === 204) return write("/camera/look", { source }); // not yet, or given up while the phone slept
  if (answer.status !== 200) return;
  size = answer.headers.get("X-Size").split("x").map(Number);
  at("seen").textContent = told("watched", { seconds: answer.headers.get("X-Seconds"), n: answer.headers.get("X-Vehicles") });
  const before = at("picture").src;
  at("picture").src = URL.createObjectURL(await answer.blob());
  if (before) URL.revokeObjectURL(before);
  at("stage").hidden = false;
  trouble("");
  draw();
  judged(await (await write("/camera/check", { source, lines })).json());
}

at("show").addEventListener("click", async () => {
  at("before").hidden = true;
  trouble("");
  at("seen").textContent = told("loading");
  watching = true;
  try {
    await write("/camera/look", { source });
    while (watching) {
      if (!document.hidden) await look();
      await new Promise((done) => setTimeout(done, 1000));
    }
  } catch (error) {
    trouble(error.message);
    watching = false;
    at("before").hidden = false;
  }
});
at("add").addEventListener("click", () => {
  const taken = new Set(lines.map((line) => line.id));
  let number = lines.length + 1;
  while (taken.has(`line-${number}`)) number += 1;
  const y = Math.round(size[1] * 0.6);
  lines.push({ id: `line-${number}`, from: [Math.round(size[0] * 0.2), y], to: [Math.round(size[0] * 0.8), y], forward: "down" });
  editors();
});
at("save").addEventListener("click", async () => {
  trouble("");
  try {
    await write("/camera/save", { source, lines });
    at("result").textContent = `✓ ${told("saved")} ${at("restart") ? "" : told("restart-how")}`;
    if (at("restart")) at("restart").hidden = false;
  } catch (error) {
    at("result").textContent = `✗ ${error.message}`;
  }
});
at("restart")?.addEventListener("click", async () => {
  try {
    await write("/restart");
    at("result").textContent = `✓ ${told("restarted")}`;
  } catch (error) {
    at("result").textContent = `✗ ${error.message}`;
  }
});
addEventListener("pagehide", () => {
  watching = false;
  const told = { method: "POST", keepalive: true, headers: { "Content-Type": "application/json", "X-Csrf": csrf }, body: "{}" };
  fetch("/camera/leave", told);
});
editors();
