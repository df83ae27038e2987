"use strict";
const byId = id => document.getElementById(id);
const status = byId("status"), results = byId("results"), drop = byId("drop");
const waiting = [];
const AT_ONCE = 2;
let running = 0, answered = 0, model = null;

// The token comes behind # in the link that the service printed: what stands there is sent to nobody.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = token ? {Authorization: `Bearer ${token}`} : {};
  let response;
  try {
    response = await fetch(path, {...options, headers});
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({error: `status ${response.status}`, hint: ""}));
  if (response.status === 401) askForToken();
  throw Object.assign(new Error(`${told.error}. ${told.hint}`), {status: response.status});
}

function askForToken() {
  byId("token-form").hidden = false;
  byId("token").focus();
}

byId("token-form").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
  byId("token-form").hidden = true;
  start();
});

async function start() {
  try {
    model = await (await ask("model")).json();
    const classes = model.class_names.length;
    byId("model").textContent = `${model.name} tells ${classes} classes apart: ` +
      model.class_names.slice(0, 8).join(", ") + (classes > 8 ? ", …" : ".");
    status.textContent = "";
    next();
  } catch (error) {
    byId("model").textContent = "The model is not known yet.";
    status.textContent = error.message;
  }
}

function add(files) {
  const pictures = [...files].filter(file => !file.type || file.type.startsWith("image/"));
  if (pictures.length < files.length) status.textContent = "What is no picture was left out.";
  for (const file of pictures) waiting.push({file, parts: show(file)});
  next();
}

function show(file) {
  const item = byId("answer").content.cloneNode(true).firstElementChild;
  const find = selector => item.querySelector(selector);
  const image = find("figure img"), address = URL.createObjectURL(file);
  find("h3").textContent = file.name || "pasted picture";
  image.alt = `The picture ${file.name || ""}`.trim();
  image.addEventListener("error", () => { image.hidden = true; find(".no-picture").hidden = false; });
  image.src = address;
  const away = find(".away");
  away.setAttribute("aria-label", `Take away ${file.name || "the pasted picture"}`);
  away.addEventListener("click", () => {
    URL.revokeObjectURL(address);
    item.remove();
    (results.querySelector(".away") || byId("files")).focus();
  });
  results.prepend(item);
  return {find, image, address};
}

function next() {
  while (model && running < AT_ONCE && waiting.length) {
    running++;
    answer(waiting.shift()).finally(() => { running--; next(); });
  }
  if (running) status.textContent = `Looking at ${running + waiting.length} of ${running + waiting.length + answered}…`;
  else if (answered) status.textContent = answered === 1 ? "1 picture was looked at." : `${answered} pictures were looked at.`;
}

function form(file) {
  const body = new FormData();
  body.append("picture", file, file.name || "picture");
  return {method: "POST", body};
}

const sleep = seconds => new Promise(done => setTimeout(done, 1000 * seconds));

async function answer({file, parts}) {
  const {find} = parts;
  try {
    let response;
    for (let tries = 0; !response; tries++) {
      try {
        response = await ask("predict?top=5", form(file));
      } catch (error) {
        if (![429, 503].includes(error.status) || tries === 5) throw error;
        await sleep(1 + tries);
      }
    }
    tell((await response.json()).predictions[0], file, parts);
  } catch (error) {
    find(".verdict").textContent = error.message;
    find(".verdict").classList.add("wrong");
  }
  answered++;
}

const percent = share => share >= 0.9995 ? "100 %" : share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`;

function tell(said, file, parts) {
  const {find} = parts;
  find(".verdict").textContent = said.unknown ? `Unknown (perhaps ${said.best})` : said.label;
  if (said.unlike) {
    find(".remark").textContent = "This picture is unlike those that the model was trained on: do not rely on the " +
      `answer. (Of pictures like those, about ${percent(model.false_alarm_rate)} are called so, too.)`;
    find(".remark").hidden = false;
  }
  for (const {label, probability} of said.top) {
    const row = find("tbody").insertRow(), head = document.createElement("th");
    head.scope = "row";
    const bar = head.appendChild(document.createElement("span"));
    bar.className = "bar";
    bar.style.width = `${100 * probability}%`;
    head.appendChild(document.createElement("span")).textContent = label;
    row.append(head);
    row.insertCell().textContent = percent(probability);
  }
  find("table").hidden = false;
  offerMap(file, parts);
  if (model.keeps_neighbours) offerNeighbours(file, parts);
}

function offerNeighbours(file, {find}) {
  const button = find(".like"), list = find(".neighbours");
  let isBusy = false;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      const found = await (await ask("neighbours?k=5", form(file))).json();
      list.replaceChildren(...found.neighbours.map(neighbour));
      list.hidden = false;
      button.hidden = true;
      list.tabIndex = -1;
      list.focus();
    } catch (error) {
      status.textContent = error.message;
    }
    isBusy = false;
  });
}

function neighbour({label, jpeg}) {
  const item = document.createElement("li"), image = item.appendChild(document.createElement("img"));
  image.src = `data:image/jpeg;base64,${jpeg}`;
  image.alt = "";  // the label below says what it is
  item.appendChild(document.createElement("p")).textContent = label;
  return item;
}

function offerMap(file, {find, image, address}) {
  const button = find(".map");
  let map = null, isBusy = false;  // a disabled button would lose the focus
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (isBusy) return;
    isBusy = true;
    const isShown = button.getAttribute("aria-pressed") === "true";
    try {
      if (!map) map = URL.createObjectURL(await (await ask("heat-map", form(file))).blob());
      image.hidden = false;
      find(".no-picture").hidden = true;
      image.src = isShown ? address : map;
      button.setAttribute("aria-pressed", String(!isShown));
    } catch (error) {
      status.textContent = error.message;
    }
    isBusy = false;
  });
}

for (const id of ["files", "camera"]) {
  byId(id).addEventListener("change", event => { add(event.target.files); event.target.value = ""; });
}
addEventListener("paste", event => { if (event.clipboardData.files.length) add(event.clipboardData.files); });
addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", event => {
  event.preventDefault();
  drop.classList.remove("over");
  add(event.dataTransfer.files);
});
start();
