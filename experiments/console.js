"use strict";
// The page holds no truth: it shows what the server says and forgets it on reload.
const at = (id) => document.getElementById(id);
let seen = null;
let busy = false;

function say(text, bad) {
  at("said").textContent = text;
  at("said").className = bad ? "bad" : "";
}

async function post(kind, data) {
  if (busy && kind !== "stop" && kind !== "abort") return;  // ending and stopping never wait for another click
  busy = true;
  say("saving …");
  try {
    const answer = await fetch("/api/do/" + kind, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Deft-Console": "1" },
      body: JSON.stringify(data || {}),
    });
    const result = await answer.json();
    if (!answer.ok) say(result.error, true);
    else if (kind === "stop") say("stopped");
    else if (result.saved) say("saved");
    else say("received, not saved yet", true);
  } catch (error) {
    say("no connection: NOT saved", true);
  } finally {
    busy = false;
    look();
  }
}

function setScore(value) {
  at("slider").value = value;
  at("value").textContent = Number(value).toFixed(2);
}

function mark(svg, name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  svg.append(made);
}

// Every score, and the mean of the last five.
function draw(rewards, episodes) {
  const svg = at("curve");
  svg.replaceChildren();
  const count = Math.max(episodes, rewards.length, 1);
  const x = (i) => 22 + ((i + 0.5) * 372) / count;
  const y = (reward) => 110 - 98 * reward;
  for (const level of [0, 0.5, 1]) {
    mark(svg, "line", { x1: 22, x2: 394, y1: y(level), y2: y(level) });
    mark(svg, "text", { x: 2, y: y(level) + 4 }, String(level));
  }
  mark(svg, "text", { x: 22, y: 127 }, "episode 1");
  mark(svg, "text", { x: 394, y: 127, "text-anchor": "end" }, String(count));
  const points = [];
  const last = [];
  rewards.forEach((reward, i) => {
    if (reward === null) return;
    last.push(reward);
    if (last.length > 5) last.shift();
    points.push(x(i) + "," + y(last.reduce((sum, r) => sum + r, 0) / last.length));
    mark(svg, "circle", { cx: x(i), cy: y(reward), r: 3.5 });
  });
  if (points.length > 1) mark(svg, "polyline", { points: points.join(" ") });
}

function show(state) {
  const fresh = seen === null || seen.version !== state.version || seen.stopped !== state.stopped;
  const other = seen === null || seen.k !== state.k || seen.phase !== state.phase;
  seen = state;
  if (!fresh) return;
  at("label").textContent = state.label || "DEFT operator";
  const scored = state.rewards.filter((r) => r !== null).length;
  at("progress").textContent = state.episodes ? scored + " of " + state.episodes + " scored" : "";
  for (const part of ["score", "busy", "done"]) at(part).hidden = state.phase !== part;
  at("scene").hidden = !["scene", "trouble"].includes(state.phase);
  at("todo").textContent = state.phase === "trouble" ? "Mend this, then say that it is ready:" :
    (state.instruction ? "Next: " + state.instruction : "Set up the next scene");
  at("objects").textContent = state.objects.join(" or ");
  at("undo").hidden = state.last_scored < 0;
  at("ready").disabled = state.paused;
  at("pause").textContent = state.paused ? "Go on" : "Pause";
  const words = [state.stopped && "STOPPED: " + state.stopped, state.trouble, state.note,
    state.correcting && "you are correcting the last score"].filter(Boolean);
  at("alert").hidden = !words.length;
  at("alert").className = state.stopped ? "stopped" : "";
  at("alert").textContent = words.join(" · ");
  if (state.phase === "score" && other) {
    setScore(0.5);
    document.querySelector("input[name=success][value='']").checked = true;
  }
  at("strip").hidden = !state.pictures.includes("film");
  for (const which of ["first", "last", "film"]) {
    if (state.pictures.includes(which)) at(which).src = "/api/picture/" + which + "?v=" + state.version;
    else at(which).removeAttribute("src");
  }
  draw(state.rewards, state.episodes);
}

async function look() {
  try {
    const answer = await fetch("/api/state");
    if (!answer.ok) throw new Error((await answer.json()).error);
    show(await answer.json());
    document.body.dataset.phase = seen.phase;
  } catch (error) {
    at("label").textContent = "no connection to the run";
    at("alert").hidden = false;
    at("alert").className = "stopped";
    at("alert").textContent = "NO CONNECTION: this page cannot stop the robot now, use the red button of the control box. " +
      "What was not called saved is not.";
    seen = null;
  }
}

function save() {
  if (!seen) return;
  const chosen = document.querySelector("input[name=success]:checked").value;
  const success = chosen === "" ? null : chosen === "yes";
  post("score", { k: seen.k, score: Number(at("slider").value), success });
}

at("slider").addEventListener("input", () => setScore(at("slider").value));
at("save").addEventListener("click", save);
at("void").addEventListener("click", () => seen && post("void", { k: seen.k, reason: "bad reset" }));
at("ready").addEventListener("click", () => post("ready"));
at("refuse").addEventListener("click", () => post("refuse", { reason: "scene refused on the console" }));
at("undo").addEventListener("click", () => post("undo"));
at("pause").addEventListener("click", () => post(seen && seen.paused ? "resume" : "pause"));
at("stop").addEventListener("click", () => post("stop"));
at("abort").addEventListener("click", () => { if (window.confirm("End the run? It can be resumed.")) post("abort"); });
document.addEventListener("keydown", (event) => {
  if (!seen || event.ctrlKey || event.metaKey || event.altKey) return;
  if (seen.phase === "score" && /^[0-9]$/.test(event.key)) setScore((Number(event.key) / 9).toFixed(2));
  else if (seen.phase === "score" && event.key === "Enter") { event.preventDefault(); save(); }
  else if (event.key === "Escape") post("stop");
});
look();
setInterval(look, 500);
