import { describe, expect, test } from 'vitest';
import { HpackDecoder, HpackError } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { RandomFields } from './testing/hpack-random.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const decoderOf = (options: { maxTableBytes?: number; maxListBytes?: number } = {}) =>
  new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 20, ...options });
const decode = (text: string, options = {}) => decoderOf(options).decode(hex(text));

/** The dynamic table, its newest entry first. */
function tableOf(decoder: HpackDecoder): string[] {
  const entries: string[] = [];
  const index = (i: number) => (i < 127 ? [0x80 | i] : [0xff, i - 127]);
  for (let i = 62; i < 190; i += 1) {
    try {
      entries.push(decoder.decode(Buffer.from(index(i)))?.join(': ') ?? '');
    } catch (error) {
      if (error instanceof HpackError) break;
      throw error;
    }
  }
  return entries;
}

const date = (second: number) => `Mon, 21 Oct 2013 20:13:${second} GMT`;
const setCookie = 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';
const requests = [
  [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com'],
  [
    ':method',
    'GET',
    ':scheme',
    'http',
    ':path',
    '/',
    ':authority',
    'www.example.com',
    'cache-control',
    'no-cache',
  ],
  [
    ...[':method', 'GET', ':scheme', 'https', ':path', '/index.html', ':authority', 'www.example.com'],
    ...['custom-key', 'custom-value'],
  ],
];
const requestTables = [
  [':authority: www.example.com'],
  ['cache-control: no-cache', ':authority: www.example.com'],
  ['custom-key: custom-value', 'cache-control: no-cache', ':authority: www.example.com'],
];
const location = ['location', 'https://www.example.com'];
const responses = [
  [':status', '302', 'cache-control', 'private', 'date', date(21), ...location],
  [':status', '307', 'cache-control', 'private', 'date', date(21), ...location],
  [
    ...[':status', '200', 'cache-control', 'private', 'date', date(22), ...location],
    ...['content-encoding', 'gzip', 'set-cookie', setCookie],
  ],
];
const responseTables = [
  ['location: https://www.example.com', `date: ${date(21)}`, 'cache-control: private', ':status: 302'],
  [':status: 307', 'location: https://www.example.com', `date: ${date(21)}`, 'cache-control: private'],
  [`set-cookie: ${setCookie}`, 'content-encoding: gzip', `date: ${date(22)}`],
];

/** Decodes the blocks one after the other, and gives the lists and what the table held after each. */
function decodeAll(decoder: HpackDecoder, blocks: readonly string[]) {
  const [lists, tables]: [unknown[], unknown[]] = [[], []];
  for (const block of blocks) {
    lists.push(decoder.decode(hex(block)));
    tables.push(tableOf(decoder));
  }
  return { lists, tables };
}

describe('the examples of RFC 7541 appendix C', () => {
  test.each([
    ['C.2.1', '400a637573746f6d2d6b65790d637573746f6d2d686561646572', ['custom-key', 'custom-header'], 1],
    ['C.2.2', '040c2f73616d706c652f70617468', [':path', '/sample/path'], 0],
    ['C.2.3', '100870617373776f726406736563726574', ['password', 'secret'], 0],
    ['C.2.4', '82', [':method', 'GET'], 0],
  ])('%s', (_name, block, lines, entries) => {
    const decoder = decoderOf();
    expect(decoder.decode(hex(block))).toEqual(lines);
    expect(tableOf(decoder)).toHaveLength(entries);
  });

  test('C.3: requests without Huffman code', () => {
    const blocks = [
      '828684410f7777772e6578616d706c652e636f6d',
      '828684be58086e6f2d6361636865',
      '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
    ];
    expect(decodeAll(decoderOf(), blocks)).toEqual({ lists: requests, tables: requestTables });
  });

  test('C.4: requests with Huffman code', () => {
    const blocks = [
      '828684418cf1e3c2e5f23a6ba0ab90f4ff',
      '828684be5886a8eb10649cbf',
      '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
    ];
    expect(decodeAll(decoderOf(), blocks)).toEqual({ lists: requests, tables: requestTables });
  });

  test('C.5: responses without Huffman code, in a table of 256 bytes', () => {
    const blocks = [
      '4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54' +
        '6e1768747470733a2f2f7777772e6578616d706c652e636f6d',
      '4803333037c1c0bf',
      '88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738' +
        '666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d33' +
        '3630303b2076657273696f6e3d31',
    ];
    const decoder = decoderOf();
    decoder.decode(hex('3fe101'));
    expect(decodeAll(decoder, blocks)).toEqual({ lists: responses, tables: responseTables });
  });

  test('C.6: responses with Huffman code, in a table of 256 bytes', () => {
    const blocks = [
      '488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff' +
        '6e919d29ad171863c78f0b97c8e9ae82ae43d3',
      '4883640effc1c0bf',
      '88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7' +
        'b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007',
    ];
    const decoder = decoderOf();
    decoder.decode(hex('3fe101'));
    expect(decodeAll(decoder, blocks)).toEqual({ lists: responses, tables: responseTables });
  });
});

describe('HpackDecoder', () => {
  test.each([
    ['the index 0', '80'],
    ['an index past the static table when the dynamic one is empty', 'be'],
    ['an index far past the table', 'ffffff7f'],
    ['a name past the table', '7e0161'],
    ['a name past the table, not indexed', '0f2f0161'],
    ['an integer above 2^31', 'ff8080808008'],
    ['an integer of too many bytes', 'ff80808080808000'],
    ['an integer of endless zeros', `ff${'80'.repeat(1000)}00`],
    ['a length above 2^31', '007fffffffff7f'],
    ['a length of too many bytes', '007f80808080808000'],
    ['an integer that is cut', 'ff80'],
    ['an index that is cut', 'ff'],
    ['a field that is cut before its name', '40'],
    ['a field that is cut before its value', '400161'],
    ['a field that is cut within its value', '40016102 62'],
    ['a name past the end', '4005616263'],
    ['a length past the end', '40017f7fffffff07'],
    ['Huffman code that is not valid', '400161 8118'],
    ['Huffman code of the end of the string', '40016184ffffffff'],
    ['a size update above what was allowed', '3fe21f'],
    ['a size update after a field', '8220'],
    ['a size update between fields', '822082'],
    ['a size update that is cut', '3f'],
    ['three size updates', '202020'],
  ])('refuses %s', (_what, block) => {
    expect(() => decode(block)).toThrow(HpackError);
  });

  test('refuses an integer above 2^31 or of more than five bytes also where its value would do', () => {
    const decodeSize = (block: string) => decode(block, { maxTableBytes: 2 ** 40 });
    // 2^31 - 1 and 2^31, and 31 in five bytes and in six.
    expect(decodeSize('3fe0ffffff07')).toEqual([]);
    expect(() => decodeSize('3fe1ffffff07')).toThrow(HpackError);
    expect(decodeSize('3f8080808000')).toEqual([]);
    expect(() => decodeSize('3f808080808000')).toThrow(HpackError);
  });

  test('reads the edges', () => {
    expect(decode('')).toEqual([]);
    expect(decode('20')).toEqual([]);
    expect(decode('203fe11f')).toEqual([]);
    // 1337, the integer of C.1.2, and zeros that change nothing.
    expect(decode('3f9a0a82')).toEqual([':method', 'GET']);
    expect(decode('3f9a8a808000')).toEqual([]);
    expect(decode('40 00 00')).toEqual(['', '']);
    expect(decode('00 01 ff 02 80 0a')).toEqual(['\xff', '\x80\n']);
    expect(decode('bd')).toEqual(['www-authenticate', '']);
    const long = 'v'.repeat(127 + 128);
    expect(decode(`00 01 61 7f8001 ${Buffer.from(long).toString('hex')}`)).toEqual(['a', long]);
  });

  test('a cut block throws or gives the fields before', () => {
    const fields = new RandomFields(11);
    for (let run = 0; run < 20; run += 1) {
      const lines = fields.lines();
      const block = Buffer.from(new HpackEncoder({ maxTableBytes: 1000 + run }).encode(lines));
      for (let end = 0; end <= Math.min(block.length, 700); end += 1) {
        try {
          const read = decoderOf().decode(block.subarray(0, end));
          expect(read).toEqual(lines.slice(0, read?.length));
        } catch (error) {
          expect(error).toBeInstanceOf(HpackError);
        }
      }
    }
  });

  test('whatever comes, it is read or refused by an HpackError', () => {
    const fields = new RandomFields(12);
    let [read, refused] = [0, 0];
    for (let run = 0; run < 4000; run += 1) {
      const decoder = decoderOf({ maxListBytes: 4000, maxTableBytes: 600 });
      const encoder = new HpackEncoder({ maxTableBytes: 600 });
      for (let block = 0; block < 3; block += 1) {
        const bytes = Buffer.from(encoder.encode(fields.lines().slice(0, 8)));
        for (let changes = fields.below(3); changes > 0; changes -= 1) {
          bytes[fields.below(bytes.length)] = fields.below(256);
        }
        try {
          const lines = decoder.decode(bytes);
          for (const text of lines ?? []) expect(typeof text).toBe('string');
          read += 1;
        } catch (error) {
          if (!(error instanceof HpackError)) throw error;
          refused += 1;
          break;
        }
      }
      expect(tableOf(decoder).length).toBeLessThanOrEqual(128);
    }
    expect(Math.min(read, refused)).toBeGreaterThan(500);
  });

  test('random bytes are read or refused by an HpackError', () => {
    const fields = new RandomFields(13);
    for (let run = 0; run < 20_000; run += 1) {
      const bytes = Buffer.from(Array.from({ length: fields.below(40) }, () => fields.below(256)));
      try {
        decoderOf().decode(bytes);
      } catch (error) {
        if (!(error instanceof HpackError)) throw error;
      }
    }
  });
});

describe('the bound of the list (RFC 9113 §6.5.2)', () => {
  test('counts 32 bytes a field beside the text', () => {
    // :method GET and :scheme http: 7 + 3 + 32 and 7 + 4 + 32.
    expect(decode('8286', { maxListBytes: 85 })).toHaveLength(4);
    expect(decode('8286', { maxListBytes: 84 })).toBeUndefined();
    expect(decode('', { maxListBytes: 0 })).toEqual([]);
  });

  test('the table is in step after a list that was too large', () => {
    const decoder = decoderOf({ maxListBytes: 100 });
    const long = Buffer.from('v'.repeat(120)).toString('hex');
    expect(decoder.decode(hex(`4001617 8${long} 400162 0163 82`.replaceAll(' ', '')))).toBeUndefined();
    expect(decoder.decode(hex('be'))).toEqual(['b', 'c']);
    expect(decoder.decode(hex('bf'))).toBeUndefined();
  });

  test('what comes after is checked still', () => {
    expect(() => decode('8286 80', { maxListBytes: 10 })).toThrow(HpackError);
  });

  test('a bomb: a byte that stands for an entry of the whole table, 16 000 times', () => {
    const decoder = decoderOf({ maxListBytes: 65_536 });
    // One of 1 + 4063 + 32 bytes.
    const entry = Buffer.concat([hex('400161 7fe01e'), Buffer.alloc(4063, 'v')]);
    const bomb = Buffer.concat([entry, Buffer.alloc(16_000, 0xbe)]);
    expect(decoder.decode(bomb)).toBeUndefined();
    const [name, value] = decoder.decode(hex('be')) ?? [];
    expect([name, value?.length]).toEqual(['a', 4063]);
    expect(decoder.decode(Buffer.alloc(16, 0xbe))).toHaveLength(32);
    expect(decoder.decode(Buffer.alloc(17, 0xbe))).toBeUndefined();
  });
});

describe('the dynamic table', () => {
  const entry = (name: string, value: string) =>
    Buffer.concat([
      hex('40'),
      ...[name, value].flatMap((text) => [Buffer.from([text.length]), Buffer.from(text)]),
    ]);

  test('gives the same strings each time', () => {
    const decoder = decoderOf();
    decoder.decode(entry('name', 'value'));
    expect(decoder.decode(hex('bebe'))).toEqual(['name', 'value', 'name', 'value']);
  });

  test('holds as many entries as fit, and not one more', () => {
    const decoder = decoderOf();
    for (let i = 0; i < 300; i += 1) decoder.decode(entry('', ''));
    expect(tableOf(decoder)).toHaveLength(128);
    decoder.decode(hex('3f01'));
    expect(tableOf(decoder)).toHaveLength(1);
    decoder.decode(hex('3f00'));
    expect(tableOf(decoder)).toHaveLength(0);
    decoder.decode(entry('', ''));
    expect(tableOf(decoder)).toHaveLength(0);
  });

  test('an entry larger than the table empties it and is no error', () => {
    const decoder = decoderOf();
    decoder.decode(hex('3f3f'));
    decoder.decode(entry('a', 'b'));
    expect(tableOf(decoder)).toEqual(['a: b']);
    expect(decoder.decode(entry('a', 'v'.repeat(62)))).toHaveLength(2);
    expect(tableOf(decoder)).toEqual([]);
    decoder.decode(entry('a', 'v'.repeat(61)));
    expect(tableOf(decoder)).toHaveLength(1);
  });

  test('a name of the entry that is evicted for it', () => {
    const decoder = decoderOf();
    decoder.decode(hex('3f21'));
    decoder.decode(entry('name', 'v'.repeat(20)));
    expect(decoder.decode(hex('7e0161'))).toEqual(['name', 'a']);
    expect(tableOf(decoder)).toEqual(['name: a']);
  });

  test('starts with 4096 bytes where less was said, as the peer may not have read that yet', () => {
    const decoder = decoderOf({ maxTableBytes: 0 });
    decoder.decode(entry('a', 'b'));
    expect(tableOf(decoder)).toEqual(['a: b']);
    decoder.decode(hex('20'));
    expect(tableOf(decoder)).toEqual([]);
    expect(() => decoder.decode(hex('21'))).toThrow(HpackError);
  });

  test('a larger table, grown and turned, keeps its order', () => {
    const decoder = decoderOf({ maxTableBytes: 65_536 });
    decoder.decode(hex('3fe1ff03'));
    for (let i = 0; i < 1000; i += 1) {
      decoder.decode(entry('n', String(i)));
      if (i === 40 || i === 90) decoder.decode(hex(`20 3fe1ff03`));
    }
    expect(tableOf(decoder)).toEqual(Array.from({ length: 128 }, (_, i) => `n: ${999 - i}`));
    // 909 entries since the table was emptied: the last index is 970.
    expect(decoder.decode(hex('ffcb06'))).toEqual(['n', '91']);
    expect(() => decoder.decode(hex('ffcc06'))).toThrow(HpackError);
  });
});
