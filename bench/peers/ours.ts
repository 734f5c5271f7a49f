import { resolve } from 'node:path';

import { gatewayPrefix, type Peer } from './peer.ts';

const main = resolve(import.meta.dirname, '../../src/cli/main.ts');

/** This gateway, with the flags of its image. */
export const ours: Peer = {
  name: 'ours',
  what: 'this gateway',
  prepare: (stage) =>
    Promise.resolve({
      prefix: gatewayPrefix(stage.cluster),
      command: (port) => ({
        command: process.execPath,
        args: [
          '--max-http-header-size=1048576',
          ...stage.nodeFlags,
          main,
          'apiserver',
          `--secure-port=${port}`,
          '--bind-address=127.0.0.1',
          `--secret-namespace=${stage.namespace}`,
          `--kubeconfig=${stage.hubKubeconfig}`,
          `--authentication-kubeconfig=${stage.hubKubeconfig}`,
          `--authorization-kubeconfig=${stage.hubKubeconfig}`,
          `--tls-cert-file=${stage.certificateFile}`,
          `--tls-private-key-file=${stage.keyFile}`,
        ],
      }),
    }),
};
