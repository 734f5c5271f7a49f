import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { find } from '../../e2e/kube/debian.ts';
import type { Stage } from '../stage.ts';
import type { Peer } from './peer.ts';

/** What a proxy in C costs: the limit of what can be reached. */
export const haproxy: Peer = {
  name: 'limit',
  what: 'haproxy, h2 to h2, checks nothing',
  async prepare(stage) {
    const binary = await find('haproxy');
    if (binary === undefined) return { skipped: 'haproxy is not installed (Debian: haproxy)' };
    const pem = join(stage.directory, 'haproxy.pem');
    const both = await Promise.all([readFile(stage.certificateFile), readFile(stage.keyFile)]);
    await writeFile(pem, Buffer.concat(both), { mode: 0o600 });
    return {
      prefix: '',
      command: (port) => ({
        command: 'sh',
        // The port differs from start to start, and haproxy takes its configuration from files alone.
        args: [
          '-c',
          'printf %s "$1" > "$2" && exec "$0" -db -f "$2"',
          binary,
          configuration(stage, { pem, port }),
          join(stage.directory, 'haproxy.cfg'),
        ],
      }),
    };
  },
};

function configuration({ target }: Stage, { pem, port }: { pem: string; port: number }): string {
  return `global
  nbthread 1
  maxconn 6000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend front
  bind 127.0.0.1:${port} ssl crt ${pem} alpn h2,http/1.1
  default_backend target
backend target
  server target 127.0.0.1:${target.port} ssl ca-file ${target.caFile} alpn h2
`;
}
