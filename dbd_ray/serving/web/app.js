// The page: photos come in, go through the queue to the server, and are shown.

import { openAbout, tellModel } from "./about.js";
import { fetchModel, lookAt } from "./api.js";
import { takePhotos } from "./intake.js";
import { makeKeys } from "./keys.js";
import { makeNamer } from "./names.js";
import { Panel } from "./panel.js";
import { makeQueue } from "./queue.js";
import { Stage } from "./stage.js";
import { Strip } from "./strip.js";
import { Tools } from "./tools.js";
import { megabytes, progressWords, troubleTitle } from "./words.js";

const AT_ONCE = 2;

const part = (id) => document.getElementById(id);
const items = [];
let selected = null;

const keys = makeKeys(part("key"));
const queue = makeQueue(AT_ONCE, process);
const panel = new Panel(part("panel"), { onChange: (settings) => stage.apply(settings), onRemove: remove });
const stage = new Stage(part("stage"), { onMaps: (maps) => panel.take(maps), onRetry: retry });
const strip = new Strip(part("strip"), part("thumb"), { onSelect: select, onRemove: remove });
const tools = new Tools(part("tools"), {
  onOrder: (order) => strip.sort(order),
  given: () => ({ items: strip.shown, threshold: panel.settings.threshold }),
});
const model = fetchModel(keys).then(
  (answer) => {
    tellModel(document, answer);
    return answer;
  },
  // photos may still be looked at, and then tell what is wrong
  () => null,
);

stage.apply(panel.settings);
openAbout(part("about"), document.querySelectorAll("[data-opens=about]"));
takePhotos({ root: document.body, picker: part("picker"), take: add });

function add(files) {
  const named = makeNamer(items.map(({ name }) => name));
  const added = files.map((file) => ({
    file,
    name: named(file.name || "pasted photo"),
    state: "waiting",
    details: {},
    answer: null,
    maps: null,
    counts: null,
    preview: null,
    visible: null,
    error: null,
    ending: new AbortController(),
  }));
  document.body.classList.add("working");
  for (const item of added) {
    items.push(item);
    item.visible = strip.add(item);
    queue.push(item);
  }
  if (!selected) select(added[0]);
  tellProgress();
}

async function process(item) {
  const { signal } = item.ending;
  try {
    const server = await model;
    refuseLarge(item.file, server?.limits.max_bytes);
    const tell = (state, details = {}) => change(item, { state, details });
    const withPreview = !(await item.visible);
    signal.throwIfAborted();
    const withDepth = server?.has_depth ?? false;
    const found = await lookAt(item.file, { withDepth, withPreview, keys, signal, tell });
    change(item, { state: "done", ...found });
  } catch (error) {
    if (signal.aborted) return;
    change(item, { state: "failed", error });
    part("alert").textContent = `${item.name}: ${troubleTitle(error)}. ${error.message}`;
  }
}

// the server would refuse it as well, but only after it was sent
function refuseLarge(file, limit) {
  if (!limit || file.size <= limit) return;
  const message = `It has ${megabytes(file.size)}, this server takes up to ${megabytes(limit)}. Try a smaller copy.`;
  throw Object.assign(new Error(message), { reason: "too_many_bytes" });
}

function change(item, news) {
  if (item.ending.signal.aborted) return;
  const before = item.state;
  Object.assign(item, news);
  strip.update(item);
  if (item === selected) show(item);
  if (item.state !== before) tellProgress();
}

function select(item) {
  selected = item;
  strip.select(item);
  show(item);
}

function show(item) {
  panel.show(item);
  stage.show(item);
}

function retry(item) {
  change(item, { state: "waiting", details: {}, error: null });
  queue.push(item);
}

function remove(item) {
  item.ending.abort();
  queue.remove(item);
  items.splice(items.indexOf(item), 1);
  const neighbour = strip.remove(item);
  if (item === selected && neighbour) select(neighbour);
  if (items.length === 0) {
    selected = null;
    stage.clear();
    document.body.classList.remove("working");
    part("picker").focus();
  }
  tellProgress();
}

function tellProgress() {
  tools.follow(items);
  const words = progressWords(items);
  if (part("progress").textContent !== words) part("progress").textContent = words;
}
