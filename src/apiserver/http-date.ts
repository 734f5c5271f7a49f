let second = 0;
let text = '';

/** The value of a `date` line (RFC 9110 6.6.1): made once a second. */
export function httpDate(now: number = Date.now()): string {
  const current = Math.floor(now / 1000);
  if (current !== second) {
    second = current;
    text = new Date(now).toUTCString();
  }
  return text;
}
