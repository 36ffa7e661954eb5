// The key of a server that asks for one: in this tab's session only, never in a file or an address.

const STORED_AS = "dbd-ray-key";

/** Hold the key, and ask for it with a form (its input, its `[data-part=message]`) when the server refuses. */
export function makeKeys(form) {
  const input = form.querySelector("input");
  const message = form.querySelector('[data-part="message"]');
  let key = stored();
  let waiting = [];

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = input.value.trim();
    // others cannot be sent in a header
    if (!/^[\x21-\x7e]+$/.test(given)) {
      message.textContent = "A key has neither spaces nor accents. Please look again.";
      return;
    }
    key = given;
    store(key);
    input.value = "";
    form.hidden = true;
    waiting.forEach((resume) => resume());
    waiting = [];
  });

  return {
    current: () => key,

    /** Wait for another key than the one that was refused (null: none was sent). */
    other(refused) {
      if (key !== refused) return Promise.resolve();
      message.textContent = refused ? "The server did not accept this key." : "";
      if (form.hidden) {
        form.hidden = false;
        input.focus();
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
  };
}

// a browser that keeps nothing throws on any use of its storage; the key then lives as long as the page
function stored() {
  try {
    return sessionStorage.getItem(STORED_AS);
  } catch {
    return null;
  }
}

function store(key) {
  try {
    sessionStorage.setItem(STORED_AS, key);
  } catch {
    // kept in memory
  }
}
