import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

import { applySecret, registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { pause, type Soak } from './soak.ts';

const typeLabel = 'cluster.core.oam.dev/cluster-credential-type';
const secrets = '/api/v1/namespaces/vela-system/secrets';

/** Registers the clusters of the soak; the returned function ends what it started. */
export async function registerClusters(soak: Pick<Soak, 'kube'>): Promise<() => void> {
  const { kube } = soak;
  await registerCluster(kube, 'a', { cluster: kube.a, credential: 'X509Certificate' });
  await registerCluster(kube, 'b', { cluster: kube.b, credential: 'X509Certificate' });
  await registerCluster(kube, 'rotating', { cluster: kube.a, credential: 'ServiceAccountToken' });
  await registerCluster(kube, 'coming', { cluster: kube.a, credential: 'X509Certificate' });
  const sockets = new Set<Socket>();
  const hole = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  }).listen(0, '127.0.0.1');
  await once(hole, 'listening');
  const endpoint = `https://127.0.0.1:${(hole.address() as AddressInfo).port}`;
  await registerCluster(kube, 'hole', { cluster: kube.b, credential: 'X509Certificate', endpoint });
  return () => {
    hole.close();
    for (const socket of sockets) socket.destroy();
  };
}

/** What happens to clusters and Secrets while the load runs. */
export async function runDisturbances(soak: Soak): Promise<void> {
  await Promise.all([restartB(soak), rotate(soak), comeAndGo(soak)]);
}

/** Cluster b is killed and started, or stopped where it is and let go on. */
async function restartB(soak: Soak): Promise<void> {
  const { b } = soak.kube;
  const periodMs = Math.min(120_000, soak.minutes * 10_000);
  for (let i = 0; !soak.ended(); i += 1) {
    await pause(soak, periodMs);
    if (soak.ended()) return;
    const over = soak.notes.outage('b');
    if (i % 2 === 0) {
      await b.stop();
      await pause(soak, 5_000);
      await b.start();
    } else {
      b.freeze();
      await pause(soak, 15_000);
      b.thaw();
    }
    // The gateway asks a cluster that was away again after a while (its circuit breaker).
    over(10_000);
    soak.notes.count(i % 2 === 0 ? 'restarts of b' : 'freezes of b');
  }
}

/** The Secret of `rotating` gets another token, or a certificate instead. */
async function rotate(soak: Soak): Promise<void> {
  const { kube } = soak;
  for (let i = 0; !soak.ended(); i += 1) {
    const at = { endpoint: kube.a.url, 'ca.crt': kube.a.caPem };
    if (i % 3 === 2) {
      const user = await kube.a.user(`rotated-${i}`, ['system:masters']);
      const data = { ...at, 'tls.crt': user.certificatePem, 'tls.key': user.keyPem };
      await applySecret(kube, { name: 'rotating', labels: { [typeLabel]: 'X509Certificate' }, data });
    } else {
      const account = { namespace: 'kube-system', name: 'cluster-gateway', seconds: 3600 };
      const token = await requestToken(kube.a, account);
      const data = { ...at, token };
      await applySecret(kube, { name: 'rotating', labels: { [typeLabel]: 'ServiceAccountToken' }, data });
    }
    soak.notes.count('rotations');
    await pause(soak, 7_000);
  }
}

/** The Secret of `coming` is deleted and made again. */
async function comeAndGo(soak: Soak): Promise<void> {
  const { kube } = soak;
  while (!soak.ended()) {
    await pause(soak, 20_000);
    if (soak.ended()) return;
    const over = soak.notes.outage('coming');
    await kube.hub.api.expect(`${secrets}/coming`, { method: 'DELETE' });
    await pause(soak, 1_000);
    await registerCluster(kube, 'coming', { cluster: kube.a, credential: 'X509Certificate' });
    over(500);
    soak.notes.count('Secrets deleted');
  }
}
