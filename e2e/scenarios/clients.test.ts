import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { ensureGoClients } from '../clients/go-clients.ts';
import { ensurePython, whyNoPython } from '../clients/python-client.ts';
import type { ReportingClient, ReportLine } from '../clients/reporting-client.ts';
import {
  hubClients,
  type Programs,
  proxyClients,
  startWatching,
  type WatchingClient,
} from '../clients/watching-clients.ts';
import { ensureRelease } from '../kube/binaries.ts';
import { oldestRelease, pinnedRelease } from '../kube/catalogue.ts';
import { auditSince } from './audit-log.ts';
import { describeKubectl } from './clients-kubectl.ts';
import { describeScenarios, proxyUrl, type World } from './world.ts';

/** Where clients watch: the gateway's own resource, and one that only passes through it. */
const places = [
  { place: 'ClusterGateways', clients: hubClients, objectsOf: clusterGateways },
  { place: 'ConfigMaps through /proxy', clients: proxyClients, objectsOf: configMaps },
] as const;

type Place = (typeof places)[number]['place'];

const missingPython = await whyNoPython();

await describeScenarios('independent clients', (world) => {
  let noPython = missingPython;
  if (missingPython !== undefined && process.env['CI'] === 'true') {
    test('Python’s kubernetes', () => {
      throw new Error(`CI must run all clients: ${missingPython}`);
    });
  }
  let running: { client: WatchingClient; place: Place; reporting: ReportingClient }[] = [];
  const change = async (how: (objects: Objects) => Promise<unknown>): Promise<void> => {
    await Promise.all(places.map(({ objectsOf }) => how(objectsOf(world()))));
  };

  beforeAll(async () => {
    const python = missingPython === undefined ? await pythonOr((reason) => (noPython = reason)) : undefined;
    const programs = { ...(await compiledPrograms()), python };
    await world().register('target', { cluster: 'a', credential: 'X509Certificate' });
    await change((objects) => objects.put('first', '1'));
    const { directory, hub } = world();
    const target = { kubeconfig: hub.kubeconfig };
    const started = places.flatMap(({ place, clients }) =>
      clients
        .filter(({ isPython }) => isPython !== true || python !== undefined)
        .map(async (client) => {
          const proxy = place === 'ClusterGateways' ? undefined : proxyUrl(world(), 'target');
          const reporting = await startWatching(client, {
            programs,
            target: { ...target, proxy },
            directory,
          });
          running.push({ client, place, reporting });
        }),
    );
    await Promise.all(started);
  });
  afterAll(async () => {
    await Promise.all(running.map(({ reporting }) => reporting.end()));
    running = [];
  });

  /** The same for each client in each place; one that cannot run on this machine is listed with the reason. */
  const each = (
    check: (reporting: ReportingClient, facts: { client: WatchingClient; place: Place }) => unknown,
    chosen: (client: WatchingClient) => boolean = () => true,
  ): void => {
    describe.each(places)('$place', ({ place, clients }) => {
      test.for(clients.filter(chosen))('[31] $name', async (client, { skip }) => {
        if (client.isPython === true && noPython !== undefined) skip(noPython);
        const found = running.find((one) => one.client === client && one.place === place);
        if (found === undefined) throw new Error('this client has not started');
        await check(found.reporting, { client, place });
      });
    });
  };
  const sees = (reporting: ReportingClient, event: string): Promise<unknown> =>
    reporting.reports(event, (line) => summary(line) === event);

  describe('lists what is there', () => {
    each(async (reporting, { client, place }) => {
      await sees(reporting, 'ADDED first 1');
      if (!client.caches) return;
      const { names } = await reporting.reports('SYNCED', ({ type }) => type === 'SYNCED');
      expect(names).toEqual(place === 'ClusterGateways' ? ['first', 'target'] : ['first']);
    });
  });

  describe('gets that list as a stream, without a LIST', () => {
    each(
      async (_, { client, place }) => {
        const events = await auditSince(world().hub.auditLog, 0);
        const urls = events
          .filter(({ userAgent }) => userAgent === client.watchList)
          .map(({ requestURI }) => new URL(requestURI, 'https://hub'))
          .filter(({ pathname }) => pathname.endsWith(collection[place]));
        const queries = urls.map(({ searchParams }) => searchParams);
        expect(queries.map((query) => query.get('watch'))).toEqual(queries.map(() => 'true'));
        expect(queries.some((query) => query.get('sendInitialEvents') === 'true')).toBe(true);
      },
      ({ watchList }) => watchList !== undefined,
    );
  });

  describe('sees what is added, changed and deleted', () => {
    beforeAll(async () => {
      await change((objects) => objects.put('second', '1'));
      await change((objects) => objects.put('second', '2'));
      await change((objects) => objects.remove('second'));
    });
    each(async (reporting) => {
      for (const event of ['ADDED second 1', 'MODIFIED second 2', 'DELETED second 2']) {
        await sees(reporting, event);
      }
    });
  });

  describe('comes back when the gateway was killed, and learns what happened meanwhile', () => {
    beforeAll(async () => {
      await world().gateway.stop('SIGKILL');
      await change((objects) => objects.remove('first'));
      await change((objects) => objects.put('third', '1'));
      await world().gateway.restart();
    });
    each(async (reporting, { client }) => {
      await sees(reporting, 'ADDED third 1');
      if (client.caches) await sees(reporting, 'DELETED first 1');
    });
  });

  describe('comes back when the gateway ended in order', () => {
    beforeAll(async () => {
      await world().gateway.restart('SIGTERM');
      await change((objects) => objects.put('third', '2'));
    });
    each((reporting, { client }) =>
      // Whoever asks anew may find the change already made.
      reporting.reports('third 2', (line) =>
        (client.caches ? ['MODIFIED third 2'] : ['MODIFIED third 2', 'ADDED third 2']).includes(
          summary(line),
        ),
      ),
    );
  });

  describe('has reported each change once, in its order', () => {
    each(
      (reporting) => {
        const events = reporting.lines.filter(({ type, name }) => type !== 'SYNCED' && name !== 'target');
        const told = events.map(summary);
        const [second, meanwhile] = [told.slice(1, 4), told.slice(4, 6)];
        expect([told[0], ...second, ...meanwhile.toSorted(), ...told.slice(6)]).toEqual([
          'ADDED first 1',
          ...['ADDED second 1', 'MODIFIED second 2', 'DELETED second 2'],
          ...['ADDED third 1', 'DELETED first 1'],
          'MODIFIED third 2',
        ]);
      },
      ({ caches }) => caches,
    );
  });

  // Last: what it makes is seen by all of them.
  for (const release of [pinnedRelease, oldestRelease]) describeKubectl(release, world);
});

/** Objects of one kind, changed where they are kept and not through the gateway. `revision` is a label. */
interface Objects {
  put(name: string, revision: string): Promise<unknown>;
  remove(name: string): Promise<unknown>;
}

/** The end of the path of all objects. */
const collection: Record<Place, string> = {
  ClusterGateways: '/v1alpha1/clustergateways',
  'ConfigMaps through /proxy': '/proxy/api/v1/namespaces/default/configmaps',
};

function clusterGateways(world: World): Objects {
  return {
    put: (name, revision) =>
      world.register(name, { cluster: 'b', credential: 'X509Certificate', labels: { revision } }),
    remove: (name) =>
      world.hub.api.expect(`/api/v1/namespaces/vela-system/secrets/${name}`, { method: 'DELETE' }),
  };
}

function configMaps({ a }: World): Objects {
  const path = '/api/v1/namespaces/default/configmaps';
  return {
    async put(name, revision) {
      const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, labels: { revision } } };
      const replaced = await a.api.call(`${path}/${name}`, { method: 'PUT', body });
      if (replaced.status !== 200) await a.api.expect(path, { method: 'POST', body });
    },
    remove: (name) => a.api.expect(`${path}/${name}`, { method: 'DELETE' }),
  };
}

/** Type, name, and the label `revision`. */
function summary({ type, name, labels }: ReportLine): string {
  return [type, name, labels?.['revision']].join(' ');
}

/** One after the other: each Go build takes all cores. */
async function compiledPrograms(): Promise<Omit<Programs, 'python'>> {
  const go = await ensureGoClients();
  const { kubectl: newest } = await ensureRelease('1.37', 'kubectl');
  const { kubectl: oldest } = await ensureRelease('1.33', 'kubectl');
  return { go, kubectl: { '1.37': newest, '1.33': oldest } };
}

/** CI must run all clients; elsewhere a machine without a package registry shall run the others. */
async function pythonOr(tell: (reason: string) => void): Promise<string | undefined> {
  try {
    return await ensurePython();
  } catch (error) {
    if (process.env['CI'] === 'true') throw error;
    tell(`Python's client cannot be installed: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}
