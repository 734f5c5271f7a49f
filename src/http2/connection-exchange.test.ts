import { expect, test } from 'vitest';
import type { Http2Stream } from './stream.ts';
import { seededRandom } from './testing/hpack-random.ts';
import { until } from './testing/joined-sockets.ts';
import type { Recorder } from './testing/recorder.ts';
import { getLines, postLines } from './testing/scripted-peer.ts';
import { joinedSides } from './testing/sides.ts';
import type { SideOptions } from './testing/sides.ts';

type Random = ReturnType<typeof randomOf>;

function randomOf(seed: number) {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random() * count);
  const oneOf = <T>(...all: [T, ...T[]]): T => all[below(all.length)] ?? all[0];
  const trailers = () => (random() < 0.3 ? ['x-sum', String(below(1e9)), 'x-empty', ''] : undefined);
  return { random, below, oneOf, trailers };
}

/** Bytes at which it shows where they came from. */
function randomBytes({ below }: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = below(256);
  return bytes;
}

interface Sending {
  readonly stream: Http2Stream;
  readonly recorder: Recorder;
  readonly body: Buffer;
  readonly trailers: string[] | undefined;
}

/** Sends a body in random pieces, mostly waiting when it is told to. */
function send({ stream, recorder, body, trailers }: Sending, { random, below }: Random): void {
  const minds = random() < 0.8;
  const most = 1 + below(random() < 0.5 ? 300 : 40_000);
  let at = 0;
  const more = (): void => {
    while (at < body.length) {
      const chunk = body.subarray(at, at + 1 + below(most));
      at += chunk.length;
      if (at === body.length && random() < 0.5) {
        stream.end(chunk, trailers);
        return;
      }
      if (random() < 0.05) stream.write(Buffer.alloc(0));
      if (!stream.write(chunk) && minds) return;
    }
    recorder.onDrained = () => {};
    if (random() < 0.3) stream.end(Buffer.alloc(0), trailers);
    else stream.end(undefined, trailers);
  };
  recorder.onDrained = more;
  more();
}

/** Reads at once, in the next turn, or not before there is much. */
function readRandomly(recorder: Recorder, { random, below }: Random): void {
  const kind = random();
  if (kind < 0.5) return;
  recorder.reads = false;
  recorder.onData = () => {
    if (kind < 0.8) setImmediate(() => recorder.readAll());
    else setTimeout(() => recorder.readAll(), below(3));
  };
}

function randomSide({ random, oneOf, below }: Random): SideOptions & { streamWindowBytes: number } {
  return {
    streamWindowBytes: oneOf(1 + below(20), 1 + below(5_000), 65_535, 1 + below(1 << 20)),
    connectionWindowBytes: 65_535 + (random() < 0.5 ? 0 : below(1 << 20)),
    maxUnreadBytes: random() < 0.5 ? 1 : 1 << 20,
  };
}

// What a window lets through in some forty turns.
const randomSize = ({ random, below }: Random, windowBytes: number) =>
  random() < 0.15 ? 0 : below(Math.min(200_000, 40 * windowBytes));

test.each(Array.from({ length: 30 }, (_, seed) => seed + 1))(
  'what is sent is what arrives, both ways, whatever the windows and the pieces (seed %i)',
  async (seed) => {
    const random = randomOf(seed);
    const [clientOptions, serverOptions] = [randomSide(random), randomSide(random)];
    const answers = new Map<string, { body: Buffer; trailers: string[] | undefined }>();
    const cut = random.random() < 0.7 ? { random: random.random } : {};
    const { client, server } = await joinedSides(
      { client: clientOptions, server: serverOptions, sockets: cut },
      ({ stream, recorder, lines }) => {
        readRandomly(recorder, random);
        const answer = {
          body: randomBytes(random, randomSize(random, clientOptions.streamWindowBytes)),
          trailers: random.trailers(),
        };
        answers.set(lines[7] ?? '', answer);
        const start = () => {
          if (stream.closed) return;
          if (random.random() < 0.2) stream.sendHead([':status', '103', 'link', 'x'], false);
          stream.sendHead([':status', '200', 'x-path', lines[7] ?? ''], false);
          send({ stream, recorder, ...answer }, random);
        };
        if (random.random() < 0.3) start();
        else setTimeout(start, random.below(5));
      },
    );
    const asked = Array.from({ length: 1 + random.below(20) }, (_, i) => {
      const size = randomSize(random, serverOptions.streamWindowBytes);
      const request = { body: randomBytes(random, size), trailers: random.trailers() };
      const path = `/${i}`;
      const isGet = size === 0 && random.random() < 0.5;
      const lines = isGet ? getLines(path) : getLines(path).with(1, 'POST');
      const begun = client.request(lines, { endStream: isGet });
      readRandomly(begun.recorder, random);
      if (!isGet) send({ ...begun, ...request }, random);
      return { ...begun, request: isGet ? { body: request.body, trailers: undefined } : request, path };
    });
    await until(() => asked.every(({ recorder }) => recorder.closed !== undefined), 10_000);
    await until(() => server.connection.openStreams === 0);
    expect(server.requests).toHaveLength(asked.length);
    for (const { recorder, request, path } of asked) {
      const answer = answers.get(path);
      const served = server.requests.find(({ lines }) => lines[7] === path);
      expect(recorder.lines).toEqual(['x-path', path]);
      expect(recorder.closed).toEqual({ code: undefined, byPeer: false });
      expect(served?.recorder.closed).toEqual({ code: undefined, byPeer: false });
      expect(recorder.body.equals(answer?.body ?? Buffer.alloc(1))).toBe(true);
      expect(served?.recorder.body.equals(request.body)).toBe(true);
      expect(recorder.trailers).toEqual(answer?.trailers ?? []);
      expect(served?.recorder.trailers).toEqual(request.trailers ?? []);
    }
    expect([client.connection.error, server.connection.error]).toEqual([undefined, undefined]);
    expect(client.connection.openStreams).toBe(0);
  },
);

test('1,000 requests, 50 at once, on one connection', async () => {
  const { client, server } = await joinedSides({}, ({ stream, lines }) => {
    stream.sendHead([':status', '200'], false);
    stream.end(Buffer.from(lines[7] ?? ''));
  });
  let started = 0;
  const bodies: string[] = [];
  const next = (): void => {
    if (started === 1_000) return;
    const { recorder } = client.request(getLines(`/${(started += 1)}`));
    recorder.onClosed = () => {
      bodies.push(recorder.body.toString());
      next();
    };
  };
  for (let i = 0; i < 50; i += 1) next();
  await until(() => bodies.length === 1_000);
  expect(bodies).toEqual(Array.from({ length: 1_000 }, (_, i) => `/${i + 1}`));
  await until(() => server.connection.openStreams === 0);
});

test('heads of 60 KB and trailers of as much go in several frames', async () => {
  const many = (name: string) =>
    Array.from({ length: 400 }, (_, i) => [`${name}-${i}`, 'v'.repeat(100)]).flat();
  const options = { maxHeaderBytes: 1 << 20 };
  const { client, server } = await joinedSides({ client: options, server: options }, ({ stream }) => {
    stream.sendHead([':status', '200', ...many('answer')], false);
    stream.end(Buffer.from('x'), many('answer-trailer'));
  });
  const { stream, recorder } = client.request(postLines(many('request')), { endStream: false });
  stream.end(Buffer.from('y'), many('request-trailer'));
  await until(() => recorder.closed !== undefined && server.connection.openStreams === 0);
  expect(server.requests[0]?.lines.slice(8)).toEqual(many('request'));
  expect(server.requests[0]?.recorder.trailers).toEqual(many('request-trailer'));
  expect(recorder.lines).toEqual(many('answer'));
  expect(recorder.trailers).toEqual(many('answer-trailer'));
});
