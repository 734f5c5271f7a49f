import type { KubeCluster } from './control-plane.ts';

/** Whose token, and for how long. */
export interface TokenRequest {
  readonly namespace: string;
  readonly name: string;
  readonly seconds: number;
}

/** Asks a cluster for a service account's token (TokenRequest), as `kubectl create token` does. */
export async function requestToken(
  { api }: KubeCluster,
  { namespace, name, seconds }: TokenRequest,
): Promise<string> {
  const answer = (await api.expect(`/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`, {
    method: 'POST',
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: seconds },
    },
  })) as { status: { token: string } };
  return answer.status.token;
}
