import { startLoad } from '../scenarios/life-load.ts';
import { proxyPath } from '../scenarios/registration-world.ts';
import { pause, type Soak } from './soak.ts';

/** Requests per second to each, by door. `hole` accepts and says nothing: what becomes of those is not judged. */
const rates: readonly (readonly [
  door: 'hub' | 'gateway',
  cluster: string,
  path: string,
  perSecond: number,
])[] = [
  ['hub', 'a', '/api/v1/namespaces/default/pods', 15],
  ['hub', 'b', '/api/v1/namespaces/kube-system', 10],
  ['hub', 'rotating', '/api/v1/namespaces/kube-system', 10],
  ['hub', 'coming', '/version', 5],
  ['gateway', 'a', '/api/v1/namespaces', 30],
  ['gateway', 'b', '/api/v1/namespaces/kube-system', 10],
  ['gateway', 'rotating', '/api/v1/namespaces/kube-system', 10],
  ['gateway', 'coming', '/version', 5],
  ['gateway', 'hole', '/version', 4],
];

/** GETs and LISTs at a steady rate; each is safe to try again, so that none may fail but for its cluster. */
export async function runShortRequests(soak: Soak): Promise<void> {
  const { kube, gateway, notes } = soak;
  const { adminCertificatePem: certificatePem, adminKeyPem: keyPem } = kube.hub;
  const loads = rates.map(([door, cluster, path, perSecond]) => {
    const target = (): { url: string; caPem: string } => (door === 'hub' ? kube.hub : gateway);
    return {
      cluster,
      what: `${door} GET ${path}`,
      load: startLoad({ path: proxyPath(cluster, path), perSecond, certificatePem, keyPem, target }),
      noted: 0,
    };
  });
  const note = (): void => {
    for (const each of loads) {
      const { cluster, what, load } = each;
      for (const { at, ms, status, error } of load.results.slice(each.noted)) {
        notes.count(cluster === 'hole' ? 'GET to the hole' : status === 200 ? 'GET 200' : 'GET not 200');
        if (status !== 200 && cluster !== 'hole')
          notes.fail({ cluster, what: `${what}: ${status} ${error}`, at, ms });
      }
      each.noted = load.results.length;
    }
  };
  while (!soak.ended()) {
    await pause(soak, 1_000);
    note();
  }
  await Promise.all(loads.map(({ load }) => load.stop()));
  note();
}
