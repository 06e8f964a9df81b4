// What every page does: renew its pieces, run the check-up, change the language, close.  No library, nothing from outside.
"use strict";
const spoken = JSON.parse(document.body.dataset.spoken);
const csrf = document.querySelector("meta[name=csrf]").content;
const at = (id) => document.getElementById(id);
const told = (word, facts = {}) => spoken[word].replace(/\{(\w+)\}/g, (all, name) => (name in facts ? facts[name] : all));

function stale(word) {
  const box = at("stale");
  box.hidden = !word;
  box.lastElementChild.textContent = word ? told(word) : "";
}

async function write(path, asked = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Csrf": csrf },
    body: JSON.stringify(asked),
  });
  if (answer.ok) return answer;
  const json = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const said = json ? await answer.json() : { what: told(answer.status === 410 ? "closed" : "stale"), remedy: "" };
  throw Object.assign(new Error(`${said.what} ${said.remedy}`), { status: answer.status });
}

async function renew(part) {
  try {
    const answer = await fetch(part.dataset.part);
    if (answer.status === 410 || answer.status === 403) return stale("closed");
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    if (part.innerHTML !== text) part.innerHTML = text; // our own server's, escaped there
    at("left").textContent = told("left", { minutes: Math.floor(answer.headers.get("X-Left") / 60) });
    stale("");
  } catch {
    stale("stale");
  }
}

async function keepFresh() {
  for (;;) {
    await new Promise((done) => setTimeout(done, 5000));
    if (document.hidden) continue;
    for (const part of document.querySelectorAll("[data-part]")) await renew(part);
  }
}

at("language").addEventListener("click", async () => {
  await write("/language");
  location.reload();
});
at("close").addEventListener("click", async () => {
  await write("/close").catch(() => {});
  const main = document.querySelector("main");
  main.textContent = told("closed");
  main.tabIndex = -1;
  main.focus();
});
at("examine")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  button.disabled = true;
  at("checks").textContent = told("doctor-running");
  try {
    at("checks").innerHTML = await (await write("/doctor")).text();
  } catch (error) {
    at("checks").textContent = error.message;
  }
  button.disabled = false;
});
if (document.querySelector("[data-part]")) keepFresh();
