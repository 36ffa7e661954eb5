// Names of photos, and of files that lie in one folder.

const NOT_EVERYWHERE = /[\u0000-\u001f\u007f<>:"/\\|?*]/g;

/** A name that files can have on every system. */
export function fileName(name) {
  return name.replace(NOT_EVERYWHERE, "_");
}

/** Make a function that gives names which are not taken yet: of two `a.jpg`, the second becomes `a (2).jpg`. */
export function makeNamer(taken) {
  const keys = new Set(taken.map(keyOf));
  return (name) => {
    const dot = name.lastIndexOf(".");
    const [stem, suffix] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
    let given = name;
    for (let number = 2; keys.has(keyOf(given)); number += 1) given = `${stem} (${number})${suffix}`;
    keys.add(keyOf(given));
    return given;
  };
}

// most systems take A.JPG and a.jpg for one file, and some write accents in two ways
function keyOf(name) {
  return fileName(name).normalize("NFC").toLowerCase();
}
