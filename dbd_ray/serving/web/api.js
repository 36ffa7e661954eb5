// The server's API: photos there, maps back. Asks for a key when the server wants one, and tries again when it is busy.

import { statusWords } from "./words.js";

const RETRIES = 5;
const LONGEST_WAIT_S = 30;
const PREVIEW_PX = 2048;
const BUSY = new Set([429, 503]);

/** The server's refusal, or the lack of an answer (status 0). */
export class ApiError extends Error {
  constructor(answer) {
    const told = parsed(answer.text);
    super(told?.message ?? statusWords(answer.status));
    this.status = answer.status;
    this.reason = told?.reason ?? null;
    this.requestId = told?.request_id ?? null;
  }
}

/** What runs, its limits and its card. */
export async function fetchModel(keys) {
  return JSON.parse((await ask({ method: "GET", url: "v1/model" }, keys, {})).text);
}

/** Have a photo looked at; returns {answer, maps, preview}, the maps as bytes of PNGs, the preview a JPEG or null.
 *
 * `signal` ends it; `tell(state, details)` hears of it: sending {progress}, looking, pausing {seconds}, locked.
 */
export async function lookAt(file, { withDepth, withPreview, keys, signal, tell }) {
  const request = {
    method: "POST",
    url: `v1/focus?include=focus${withDepth ? "&include=depth" : ""}${withPreview ? `&preview=${PREVIEW_PX}` : ""}`,
    body: file,
    type: file.type.startsWith("image/") ? file.type : "application/octet-stream",
  };
  const { text } = await ask(request, keys, { signal, tell });
  const { pictures, ...answer } = JSON.parse(text);
  const depth = pictures.depth ? bytesOf(pictures.depth) : null;
  const preview = pictures.preview ? new Blob([bytesOf(pictures.preview)], { type: "image/jpeg" }) : null;
  return { answer, maps: { focus: bytesOf(pictures.focus), depth }, preview };
}

async function ask(request, keys, { signal, tell = () => {} }) {
  for (let attempt = 0; ; ) {
    const key = keys.current();
    const answer = await send(request, key, signal, tell);
    if (answer.status === 200) return answer;
    if (answer.status === 401) {
      tell("locked");
      await keys.other(key);
    } else if (BUSY.has(answer.status) && attempt < RETRIES) {
      const seconds = Math.min(LONGEST_WAIT_S, answer.retryAfter ?? 0.5 * 2 ** attempt);
      attempt += 1;
      tell("pausing", { seconds });
      // spread out, or all that were refused together would come back together
      await pause(1000 * seconds * (1 + Math.random() / 4), signal);
    } else {
      throw new ApiError(answer);
    }
    signal?.throwIfAborted();
  }
}

// XMLHttpRequest, because fetch does not tell how much of a photo is sent
function send({ method, url, body, type }, key, signal, tell) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.setRequestHeader("Accept", "application/json");
    if (type) request.setRequestHeader("Content-Type", type);
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    const abort = () => request.abort();
    signal?.addEventListener("abort", abort);
    request.upload.onprogress = ({ loaded, total }) => tell("sending", { progress: total ? loaded / total : 0 });
    request.upload.onload = () => tell("looking");
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => {
      signal?.removeEventListener("abort", abort);
      const seconds = Number.parseFloat(request.getResponseHeader("Retry-After"));
      const retryAfter = seconds >= 0 ? seconds : null;
      resolve({ status: request.status, text: request.responseText, retryAfter });
    };
    if (body) tell("sending", { progress: 0 });
    request.send(body ?? null);
  });
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function parsed(text) {
  try {
    const told = JSON.parse(text);
    return typeof told?.message === "string" ? told : null;
  } catch {
    return null;
  }
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
