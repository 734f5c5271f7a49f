import { ensureBinaries } from '../../e2e/kube/binaries.ts';
import { gatewayPrefix, type Peer, tunnelFlags } from './peer.ts';

/** The Go gateway, whose way with one core is GOMAXPROCS=1. */
export const goGateway: Peer = {
  name: 'go',
  what: 'the Go gateway (github.com/oam-dev/cluster-gateway)',
  async prepare(stage) {
    const binary = await ensureBinaries('peers').then(
      (binaries) => binaries['go-gateway'],
      (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
    );
    if (binary instanceof Error) {
      const reason = `it cannot be built here (Go and a module proxy are needed): ${binary.message}`;
      return { skipped: reason };
    }
    return {
      prefix: gatewayPrefix(stage.cluster),
      command: (port) => ({
        command: binary,
        args: [
          `--secure-port=${port}`,
          '--bind-address=127.0.0.1',
          `--secret-namespace=${stage.namespace}`,
          `--kubeconfig=${stage.hubKubeconfig}`,
          `--authentication-kubeconfig=${stage.hubKubeconfig}`,
          `--authorization-kubeconfig=${stage.hubKubeconfig}`,
          `--tls-cert-file=${stage.certificateFile}`,
          `--tls-private-key-file=${stage.keyFile}`,
          ...tunnelFlags(stage.tunnel),
          '--feature-gates=SecretCache=true',
        ],
        env: { GOMAXPROCS: '1' },
      }),
    };
  },
};
