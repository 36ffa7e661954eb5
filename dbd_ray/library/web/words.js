// What the pages say, in plain words.
"use strict";

{
  const KINDS = { all_in_focus: "All in focus", partial: "Partly in focus", none_in_focus: "Nothing in focus" };
  const STATUSES = { ok: "Looked at", error: "Failed", skipped: "Skipped" };
  const REASONS = {
    empty_file: "Empty file",
    not_an_image: "Not a photo",
    truncated: "Cut short",
    undecodable: "Cannot be read",
    too_many_bytes: "File too large",
    too_many_pixels: "Photo too large",
    out_of_memory: "Too large for the memory",
    unsupported_media_type: "Kind of file not read",
    needs_extra_heif: "HEIC is not read here",
    needs_extra_raw: "Camera raw is not read here",
    needs_extra_jxl: "JPEG XL is not read here",
  };
  // controls and format characters, which are unseen or turn the text around them; the joiners of emoji and scripts stay
  const HIDDEN = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  const known = (words, key) => (Object.hasOwn(words, key) ? words[key] : readable(key.replaceAll("_", " ")));

  function readable(text) {
    return text.replace(HIDDEN, (character) => {
      const number = character.codePointAt(0).toString(16);
      return number.length < 3 ? `\\x${number.padStart(2, "0")}` : `\\u${number.padStart(4, "0")}`;
    });
  }

  /** A share in [0, 1] in percent, which is 0 or 100 only when it is exact. */
  function percent(share) {
    const shown = (100 * share).toFixed(1);
    if (share > 0 && shown === "0.0") return "< 0.1 %";
    return share < 1 && shown === "100.0" ? "> 99.9 %" : `${shown} %`;
  }

  /** A time of the camera's clock, in seconds; empty where no calendar has it. */
  function time(seconds) {
    const date = new Date(seconds * 1000);
    return Number.isNaN(date.valueOf()) ? "" : date.toISOString().slice(0, -8).replace("T", " ");
  }

  const number = (value, digits = 3) => Number(value.toPrecision(digits)).toLocaleString("en-US");

  function exposure(seconds) {
    return seconds > 0 && seconds < 0.3 ? `1/${Math.round(1 / seconds)} s` : `${number(seconds)} s`;
  }

  function bytes(size) {
    const power = Math.min(3, Math.max(0, Math.floor(Math.log10(Math.max(1, size)) / 3)));
    return `${number(size / 1000 ** power)} ${["bytes", "KB", "MB", "GB"][power]}`;
  }

  gallery.words = {
    readable,
    percent,
    time,
    number,
    exposure,
    bytes,
    kind: (kind) => known(KINDS, kind),
    status: (status) => known(STATUSES, status),
    reason: (reason) => known(REASONS, reason),

    /** What became of a row, in one or two words. */
    told(row) {
      const status = gallery.text("status", row);
      const reason = gallery.text("reason", row);
      const share = gallery.numbers.in_focus_fraction[row];
      if (status === "ok") return Number.isNaN(share) ? "" : percent(share);
      return reason ? known(REASONS, reason) : known(STATUSES, status);
    },
  };
}
