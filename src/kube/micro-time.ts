/**
 * The wall clock in milliseconds since the epoch, with microseconds behind the point. Within two milliseconds of
 * `Date.now()`, and never running backwards unless that clock is set.
 */
export function preciseNow(): number {
  let wall = 0;
  // A process that is paused between the two readings sees them apart, too; hardly three times in a row.
  for (let reading = 0; reading < 3; reading += 1) {
    wall = Date.now();
    const precise = offset + performance.now();
    if (Math.abs(precise - wall) <= 2) return precise;
  }
  // The wall clock was set: follow it.
  offset = wall - performance.now();
  return wall;
}

let offset = performance.timeOrigin;

/** As metav1.MicroTime is written: RFC 3339 in UTC, six digits behind the second. `epochMs` may have a fraction. */
export function formatMicroTime(epochMs: number): string {
  const micros = Math.floor(epochMs * 1000);
  const second = Math.floor(micros / 1_000_000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = new Date(second * 1000).toISOString().slice(0, 19);
  }
  return `${lastText}.${String(micros - second * 1_000_000).padStart(6, '0')}Z`;
}

// Many events fall into the same second.
let lastSecond = Number.NaN;
let lastText = '';
