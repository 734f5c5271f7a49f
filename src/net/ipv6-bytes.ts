/** The 16 bytes of an IPv6 address in any form; its zone is left out. */
export function ipv6Bytes(address: string): Buffer {
  // The URL parser writes any form, also one with an embedded IPv4 address, as eight groups with one gap.
  const plain = new URL(`http://[${address.split('%')[0] ?? ''}]`).hostname.slice(1, -1);
  const [before = '', after] = plain.split('::');
  const left = before === '' ? [] : before.split(':');
  const right = after === undefined || after === '' ? [] : after.split(':');
  const gap = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return Buffer.from([...left, ...gap, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}
