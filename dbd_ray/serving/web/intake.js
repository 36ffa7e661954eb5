// Where photos come from: picked, dropped (folders as well) or pasted.

// the same as PHOTO_SUFFIXES in dbd_ray/images/containers.py
const PICTURES = "jpg jpeg jpe jfif jif mpo png apng webp tif tiff bmp dib gif heic heif hif heics heifs avif avifs jxl";
const CAMERA_RAW = "dng crw cr2 cr3 nef nrw arw raf orf rw2 rwl pef srw mrw x3f";
const SUFFIXES = `${PICTURES} ${CAMERA_RAW}`.split(" ").map((suffix) => `.${suffix}`);

/** Give `take(files)` whatever arrives at the page; `picker` is its file input, `root` gets the class `dropping`. */
export function takePhotos({ root, picker, take }) {
  const given = (files) => files.length > 0 && take(files);
  let depth = 0;
  picker.accept = ["image/*", ...SUFFIXES].join();

  picker.addEventListener("change", () => {
    given([...picker.files]);
    picker.value = "";
  });

  document.addEventListener("paste", (event) => {
    given([...(event.clipboardData?.files ?? [])]);
  });

  // dragenter and dragleave come for every element that the pointer crosses
  const crossed = (change) => (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = Math.max(0, depth + change);
    root.classList.toggle("dropping", depth > 0);
  };
  document.addEventListener("dragenter", crossed(1));
  document.addEventListener("dragover", crossed(0));
  document.addEventListener("dragleave", crossed(-1));
  document.addEventListener("drop", async (event) => {
    crossed(-depth)(event);
    given(await droppedFiles(event.dataTransfer));
  });
}

async function droppedFiles(transfer) {
  // entries have to be taken at once: the transfer is emptied when the event ends
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return files;
  return (await Promise.all(entries.map(filesOf))).flat();
}

function isPhoto(name) {
  const shown = name.toLowerCase();
  return !shown.startsWith(".") && SUFFIXES.some((suffix) => shown.endsWith(suffix));
}

async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const children = [];
  // it gives a part at a time
  for (let part; part?.length !== 0; children.push(...part)) {
    part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  }
  const photos = children.filter(({ isDirectory, name }) => isDirectory || isPhoto(name));
  photos.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  return (await Promise.all(photos.map(filesOf))).flat();
}
