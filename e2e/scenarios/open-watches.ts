import { once } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';

import type { ClientIdentity } from './registration-client.ts';

/** Watches that plain clients have open, each a stream of HTTP/2. */
export interface OpenWatches {
  readonly count: number;
  /** How many have got bytes with this text in them since they were opened. */
  saw(text: string): number;
  /** How many have ended, by their end or by an error. */
  ended(): number;
  close(): void;
}

export interface OpenWatchesOptions {
  readonly count: number;
  /** On each connection. */
  readonly perConnection: number;
  readonly path: string;
  /** What is looked for in what comes. */
  readonly texts: readonly string[];
}

/** How many are asked for before the answers to the ones before are there. */
const atOnce = 250;

/** Opens them; rejects when one is answered with something else than 200. */
export async function openWatches(
  { url, caPem: ca, certificatePem: cert, keyPem: key }: ClientIdentity,
  { count, perConnection, path, texts }: OpenWatchesOptions,
): Promise<OpenWatches> {
  const sessions: ClientHttp2Session[] = [];
  const seen = new Map(texts.map((text) => [text, 0]));
  let ended = 0;
  const open = async (session: ClientHttp2Session): Promise<void> => {
    const stream = session.request({ ':path': path });
    stream.on('error', () => {}).once('close', () => (ended += 1));
    const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
    if (headers[':status'] !== 200) throw new Error(`a watch was answered with ${headers[':status'] ?? '?'}`);
    const missing = new Set(texts);
    let rest = '';
    stream.setEncoding('utf8').on('data', (piece: string) => {
      rest += piece;
      for (const text of missing) {
        if (!rest.includes(text)) continue;
        missing.delete(text);
        seen.set(text, (seen.get(text) ?? 0) + 1);
      }
      // Lines that are complete have been looked at.
      rest = rest.slice(rest.lastIndexOf('\n') + 1);
    });
  };
  const opened = { count: 0 };
  while (opened.count < count) {
    const session = connect(url, { ca, ...(cert && { cert }), ...(key && { key }) });
    sessions.push(session);
    session.on('error', () => {});
    await once(session, 'remoteSettings');
    const last = Math.min(count, opened.count + perConnection);
    while (opened.count < last) {
      const next = Math.min(atOnce, last - opened.count);
      await Promise.all(Array.from({ length: next }, () => open(session)));
      opened.count += next;
    }
  }
  return {
    count,
    saw: (text) => seen.get(text) ?? 0,
    ended: () => ended,
    close() {
      for (const session of sessions) session.destroy();
    },
  };
}
