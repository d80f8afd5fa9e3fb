// Labels of points that cover neither each other nor what is drawn: each takes the first free place around its point;
// a label without one is left out (its point is in the chart's table).

const kLetterWidth = 6.6; // of 11 pixels high, rounded up
const kHeight = 13;
const kPlaces = [
  { anchor: "start", right: 1, down: 0 },
  { anchor: "middle", right: 0, down: -1 },
  { anchor: "start", right: 0.8, down: -0.8 },
  { anchor: "start", right: 0.8, down: 0.8 },
  { anchor: "middle", right: 0, down: 1 },
  { anchor: "end", right: -1, down: 0 },
  { anchor: "end", right: -0.8, down: 0.8 },
  { anchor: "end", right: -0.8, down: -0.8 },
];
const kShift = { start: 0, middle: -0.5, end: -1 };

/** A place from which the label just does not touch the point. */
function offsetOf(point, { anchor, right, down }) {
  return { anchor, dx: right * (point.radius + 4), dy: down * (point.radius + kHeight / 2 + 1) };
}

function boxOf(point, place) {
  const width = point.label.length * kLetterWidth;
  const left = point.x + place.dx + kShift[place.anchor] * width;
  const top = point.y + place.dy - kHeight / 2;
  return { left, right: left + width, top, bottom: top + kHeight };
}

const around = ({ x, y }, radius) => ({ left: x - radius, right: x + radius, top: y - radius, bottom: y + radius });
const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/**
 * points: {label, x, y, radius, ...} in pixels, the most important first; obstacles: {x, y} of what is drawn elsewhere;
 * frame: {left, right, top, bottom}. Gives the labelled points with their place.
 */
export function placeLabels(points, obstacles, frame) {
  const taken = [...points.map((point) => around(point, point.radius)), ...obstacles.map((point) => around(point, 2))];
  const placed = [];
  for (const point of points) {
    const place = kPlaces.map((one) => offsetOf(point, one)).find((candidate) => {
      const box = boxOf(point, candidate);
      const inside = box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
      return inside && !taken.some((other) => meet(box, other));
    });
    if (!place) continue;
    taken.push(boxOf(point, place));
    placed.push({ ...point, place });
  }
  return placed;
}
