// Numbers as people read them. A figure that is not there (null, not finite) is a dash everywhere.

const kNone = "\u2013";

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** Significant digits, without an exponent between 1e-4 and 1e6. */
export function figure(value, digits = 3) {
  if (!isNumber(value)) return kNone;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) return value.toExponential(digits - 1).replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

/** A fixed number of decimals. */
export const decimals = (value, count) => (isNumber(value) ? value.toFixed(count) : kNone);
export const percent = (value, count = 1) => (isNumber(value) ? `${value.toFixed(count)}\u00a0%` : kNone);
/** A change, with its sign. */
export const signedPercent = (value) => (isNumber(value) ? `${value >= 0 ? "+" : "\u2212"}${figure(Math.abs(value))}\u00a0%` : kNone);
export const count = (value) => (isNumber(value) ? value.toLocaleString("en") : kNone);
/** "1 tensor", "2 tensors". */
export const counted = (value, noun) => `${count(value)} ${value === 1 ? noun : `${noun}s`}`;
export const text = (value) => (value === null || value === undefined ? kNone : String(value));

const kUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** The unit in which the largest of several sizes has one to four digits before the point. */
export function sizeUnit(largestBytes) {
  const power = Math.min(kUnits.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(largestBytes, 1)) / 10)));
  return { name: kUnits[power], bytes: 1024 ** power };
}

export function bytes(value) {
  if (!isNumber(value)) return kNone;
  const unit = sizeUnit(value);
  return unit.bytes === 1 ? `${value} B` : `${(value / unit.bytes).toFixed(2)} ${unit.name}`;
}

export function seconds(value) {
  if (!isNumber(value)) return kNone;
  if (value < 0.95) return `${Math.round(1000 * value)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  const whole = Math.round(value);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

/** The middle left out where the text is longer than `length`. */
export function shortened(value, length) {
  const letters = Array.from(value);
  if (letters.length <= length) return value;
  const end = Math.floor((length - 1) / 2);
  return `${letters.slice(0, length - 1 - end).join("")}\u2026${letters.slice(letters.length - end).join("")}`;
}

/** Ticks of a logarithmic axis from `low` to `high`: powers of ten, with 2 and 5 where there are few. */
export function logTicks(low, high) {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const steps = last - first <= 3 ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil((last - first) / 10));
  const ticks = [];
  for (let power = first; power <= last; power += stride) {
    for (const step of steps) ticks.push(Number(`${step}e${power}`));
  }
  return ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
}
