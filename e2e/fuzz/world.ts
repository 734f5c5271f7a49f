import { adminOf, proxyPath } from '../scenarios/registration-world.ts';
import { type GatewayProcess, type KubeWorld } from '../worlds/kube.ts';
import { registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { until } from '../worlds/wait.ts';
import { CLUSTER_TOKEN } from './expected-headers.ts';
import type { FuzzCase, Protocol } from './fuzz-case.ts';
import { type Fuzzer, createFuzzer } from './fuzzer.ts';
import { type Http2Shape, sendShape } from './http2-shapes.ts';
import type { Arrival } from './observed.ts';
import { startRecorder } from './recorder.ts';

export interface FuzzWorld {
  readonly fuzzer: Fuzzer;
  /** Sends a malformed HTTP/2 request to the gateway; gives what arrived of it, whole. */
  shape(shape: Http2Shape, target: Protocol): Promise<readonly Arrival[]>;
  /** Throws where the gateway is not the process that it was, or does not answer as it did. */
  assertAlive(): Promise<void>;
  close(): Promise<void>;
}

const clusters = { 'http/1.1': 'fuzz-http1', h2: 'fuzz-http2' } as const;
const account = { namespace: 'default', name: 'fuzz' };

/** Puts two recording targets behind a gateway, and a caller with a token that may use them and nothing else. */
export async function startFuzzWorld(kube: KubeWorld, gateway: GatewayProcess): Promise<FuzzWorld> {
  const recorders = { 'http/1.1': await startRecorder('http/1.1'), h2: await startRecorder('h2') };
  for (const protocol of ['http/1.1', 'h2'] as const) {
    const { url: endpoint, caPem } = recorders[protocol].target;
    const rest = { endpoint, caPem, data: { token: CLUSTER_TOKEN } };
    await registerCluster(kube, clusters[protocol], {
      cluster: kube.a,
      credential: 'ServiceAccountToken',
      ...rest,
    });
  }
  const token = await callerToken(kube);
  const fuzzer = createFuzzer({ gateway, token, recorders, clusters });
  const admin = adminOf(kube, gateway);
  const { pid } = gateway;
  // A shape waits for nothing: whoever sends one has gone before a first connection is made.
  for (const target of ['http/1.1', 'h2'] as const) {
    const reached = async (): Promise<true | undefined> =>
      (await fuzzer.check({ ...plain, target })).length === 0 || undefined;
    await until(`the target that speaks ${target}`, reached, { timeoutMs: 20_000 });
  }
  return {
    fuzzer,
    async shape(shape, target) {
      await sendShape(shape, { port: gateway.port, path: proxyPath(clusters[target], '/x'), token });
      return (await recorders[target].take()).filter(({ whole }) => whole);
    },
    async assertAlive() {
      const differences = await fuzzer.check(plain);
      if (gateway.pid !== pid) throw new Error('the gateway is another process');
      if (differences.length > 0) throw new Error(`a plain request differs: ${differences.join('; ')}`);
      const { status } = await admin.call('/readyz');
      if (status !== 200) throw new Error(`the gateway is not ready: ${status}`);
    },
    async close() {
      fuzzer.close();
      admin.close();
      await Promise.all(Object.values(recorders).map(({ target }) => target.close()));
    },
  };
}

const plain: FuzzCase = {
  protocol: 'http/1.1',
  target: 'h2',
  method: 'GET',
  path: '/api/v1/pods',
  query: 'limit=1',
  headers: [],
  body: '',
  framing: 'plain',
  answer: 0,
};

async function callerToken({ hub }: KubeWorld): Promise<string> {
  const { namespace, name } = account;
  const post = (path: string, body: unknown) => hub.api.expect(path, { method: 'POST', body });
  await post(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
  const rules = [{ apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways/proxy'], verbs: ['*'] }];
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  await post(`${rbac}/clusterroles`, { metadata: { name }, rules });
  await post(`${rbac}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', ...account }],
  });
  return requestToken(hub, { ...account, seconds: 86_400 });
}
