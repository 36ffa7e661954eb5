// The orders in which photos can be shown.

const byName = (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true });
const shareOf = ({ answer }) => answer?.summary.in_focus_fraction ?? -1;
const failed = ({ state }) => Number(state === "failed");

const COMPARISONS = {
  name: (one, other) => failed(one) - failed(other) || byName(one, other),
  share: (one, other) => failed(one) - failed(other) || shareOf(other) - shareOf(one),
};

/** Items, given as they were added, in the order `added`, `name` or `share`; the latter two have failed ones last. */
export function ordered(items, order) {
  return order === "added" ? [...items] : [...items].sort(COMPARISONS[order]);
}
