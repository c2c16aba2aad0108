// Curves over time on a canvas: gaps where a value is missing, and a mark below where it was not valid.

const COLOURS = ["#7cc4ff", "#ffb454", "#74d99f", "#e79fd1", "#ffd166", "#b0a6ff"];

export function colour(number) {
  return COLOURS[number % COLOURS.length];
}

/** Draw curves: [{name, points: [[time, value or null], …]}] over [from, to], values in [low, high]. */
export function draw(canvas, curves, from, to, low, high) {
  const width = canvas.clientWidth || 300;
  const height = Number(canvas.getAttribute("data-height") || canvas.height);
  canvas.setAttribute("data-height", height);
  const scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  const x = (time) => 44 + ((time - from) / Math.max(to - from, 1e-9)) * (width - 50);
  const y = (value) => height - 16 - ((value - low) / Math.max(high - low, 1e-9)) * (height - 28);
  pen.strokeStyle = "#364152";
  pen.fillStyle = "#b4bfcd";
  for (const value of [low, (low + high) / 2, high]) {
    pen.beginPath();
    pen.moveTo(44, y(value));
    pen.lineTo(width - 6, y(value));
    pen.stroke();
    pen.fillText(value.toPrecision(2), 2, y(value) + 4);
  }
  curves.forEach(({ points }, number) => {
    pen.strokeStyle = pen.fillStyle = colour(number);
    pen.lineWidth = 1.8;
    pen.beginPath();
    let gap = true;
    for (const [time, value] of points) {
      if (time < from) continue;
      if (value === null) {
        pen.fillRect(x(time) - 1, height - 8 - 3 * number, 3, 6); // not valid
        gap = true;
      } else if (gap) {
        pen.moveTo(x(time), y(value));
        gap = false;
      } else pen.lineTo(x(time), y(value));
    }
    pen.stroke();
  });
}

/** Return the range of all values in curves, with a little room; [0, 1] if there are none. */
export function range(curves) {
  const values = curves.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value !== null);
  if (!values.length) return [0, 1];
  const low = Math.min(...values), high = Math.max(...values);
  const room = (high - low) * 0.08 || 0.05;
  return [low - room, high + room];
}
