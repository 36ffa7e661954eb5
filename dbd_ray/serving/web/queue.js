/** Run `work(item)` for everything pushed, in order, at most `atOnce` at a time. */
export function makeQueue(atOnce, work) {
  const waiting = [];
  let running = 0;

  async function next() {
    if (running >= atOnce || waiting.length === 0) return;
    running += 1;
    try {
      await work(waiting.shift());
    } finally {
      running -= 1;
      next();
    }
  }

  return {
    push(item) {
      waiting.push(item);
      next();
    },
    remove(item) {
      const index = waiting.indexOf(item);
      if (index >= 0) waiting.splice(index, 1);
    },
  };
}
