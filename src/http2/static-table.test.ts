import { expect, test } from 'vitest';
import { firstDynamicIndex, staticNames, staticValues } from './static-table.ts';

// That each entry is the one of RFC 7541 appendix A is tested against nghttp2, in hpack-nghttp2.test.ts.
test('the static table has 61 entries, the first with the index 1', () => {
  expect([staticNames.length, staticValues.length, firstDynamicIndex]).toEqual([62, 62, 62]);
  expect([staticNames[0], staticNames[1], staticNames[61]]).toEqual(['', ':authority', 'www-authenticate']);
  expect([staticNames[16], staticValues[16]]).toEqual(['accept-encoding', 'gzip, deflate']);
});

test('entries of one name stand together', () => {
  const starts = staticNames.filter((name, i) => name !== staticNames[i - 1]);
  expect(new Set(starts).size).toBe(starts.length);
});
