import { join } from 'node:path';

import type { Peer } from './peer.ts';

const server = join(import.meta.dirname, 'node-proxy-server.ts');

/** The usual proxy package of Node: no authentication, no authorization, no log. */
export const nodeProxy: Peer = {
  name: 'node',
  what: 'http-proxy-3, h2 to HTTP/1.1, checks nothing',
  prepare: ({ target, certificateFile, keyFile }) =>
    Promise.resolve({
      prefix: '',
      command: (port) => ({
        command: process.execPath,
        args: [
          ...[server, `--port=${port}`, `--target=https://127.0.0.1:${target.port}`],
          ...[`--target-ca=${target.caFile}`, `--certificate=${certificateFile}`, `--key=${keyFile}`],
        ],
      }),
    }),
};
