import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';

import { nodeFlags } from '../../e2e/worlds/node-flags.ts';
import { gatewayPrefix, type Peer, tunnelFlags } from './peer.ts';

const run = promisify(execFile);
const repository = resolve(import.meta.dirname, '../..');

/** The program as `ours.prepare` builds it. */
export const builtMain = resolve(repository, 'dist/cli/main.js');

/** This gateway as its image has it: built, for the types of the sources cost time and memory at the start. */
export const ours: Peer = {
  name: 'ours',
  what: 'this gateway, built as for its image',
  async prepare(stage) {
    const compiler = resolve(repository, 'node_modules/typescript/bin/tsc');
    await run(process.execPath, [compiler, '-p', 'tsconfig.build.json'], { cwd: repository });
    return {
      prefix: gatewayPrefix(stage.cluster),
      command: (port) => ({
        command: process.execPath,
        args: [
          ...nodeFlags,
          ...stage.nodeFlags,
          builtMain,
          'apiserver',
          `--secure-port=${port}`,
          '--bind-address=127.0.0.1',
          `--secret-namespace=${stage.namespace}`,
          `--kubeconfig=${stage.hubKubeconfig}`,
          `--authentication-kubeconfig=${stage.hubKubeconfig}`,
          `--authorization-kubeconfig=${stage.hubKubeconfig}`,
          `--tls-cert-file=${stage.certificateFile}`,
          `--tls-private-key-file=${stage.keyFile}`,
          ...tunnelFlags(stage.tunnel),
        ],
      }),
    };
  },
};
