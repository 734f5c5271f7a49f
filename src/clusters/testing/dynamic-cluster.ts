import { Redacted } from '../../base/redacted.ts';
import type { Cluster, Endpoint, ExecConfig } from '../cluster.ts';

export const execApiVersion = 'client.authentication.k8s.io/v1';

/** A cluster whose credential is what a shell script prints. */
export function dynamicCluster(
  script: string,
  more: { name?: string; exec?: Partial<ExecConfig>; endpoint?: Partial<Endpoint> } = {},
): Cluster & { readonly credential: { readonly type: 'Dynamic' } } {
  return {
    type: 'accepted',
    name: more.name ?? 'c',
    alias: '',
    creationTimestamp: undefined,
    resourceVersion: '1',
    labels: {},
    credentialType: 'Dynamic',
    endpointType: 'Const',
    hasEndpointType: false,
    endpointUrl: 'https://x',
    health: undefined,
    endpoint: {
      type: 'Const',
      url: 'https://x',
      host: 'x',
      port: 443,
      authority: 'x',
      basePath: '',
      trust: { type: 'none' },
      ...more.endpoint,
    },
    credential: {
      type: 'Dynamic',
      exec: new Redacted({
        apiVersion: execApiVersion,
        command: '/bin/sh',
        args: ['-c', script],
        env: [],
        provideClusterInfo: false,
        ...more.exec,
      }),
      fingerprint: script,
    },
    accessFingerprint: 'f',
  };
}

/** The script of a plugin that prints this status. */
export const prints = (status: object, apiVersion = execApiVersion): string =>
  `printf '%s' '${JSON.stringify({ apiVersion, kind: 'ExecCredential', status })}'`;
