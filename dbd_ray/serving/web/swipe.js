// The handle between the plain photo (left of it) and what is laid over it (right of it).

const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };

/** Make `handle` (role=slider) move over `frame`, whose --swipe follows. */
export function makeSwipe(frame, handle) {
  let position = 50;

  function move(percent) {
    position = Math.min(100, Math.max(0, percent));
    const shown = Math.round(position);
    frame.style.setProperty("--swipe", `${position}%`);
    handle.setAttribute("aria-valuenow", shown);
    handle.setAttribute("aria-valuetext", `${shown} % plain photo, ${100 - shown} % with the map`);
  }

  function follow(event) {
    const { left, width } = frame.getBoundingClientRect();
    move(((event.clientX - left) / width) * 100);
  }

  handle.addEventListener("keydown", (event) => {
    const target = { Home: 0, End: 100 }[event.key] ?? position + STEPS[event.key];
    if (Number.isNaN(target)) return;
    event.preventDefault();
    move(target);
  });
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || handle.hidden) return;
    event.preventDefault();
    handle.focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    follow(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (frame.hasPointerCapture(event.pointerId)) follow(event);
  });
  move(position);
}
