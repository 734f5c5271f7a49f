import { proxyPath } from '../scenarios/registration-world.ts';
import { readWatch } from '../scenarios/watch-reader.ts';
import { pause, type Soak } from './soak.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const label = 'soak';
const perSecond = 4;

interface WrittenList {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } }[];
}

/** ConfigMaps at cluster a, each made once, and watches that must see each of them once. */
export async function runWrites(soak: Soak): Promise<void> {
  const { kube, doors, notes } = soak;
  const list = async (): Promise<WrittenList> =>
    (await kube.a.api.expect(`${configMaps}?labelSelector=${label}`)) as WrittenList;
  const { resourceVersion } = (await list()).metadata;
  const watches = doors.flatMap((_, i) =>
    [1, 2].map(() => followWatch(soak, i, resourceVersion).then((seen) => ({ door: i, seen }))),
  );
  const accepted = new Set<string>();
  for (let i = 0; !soak.ended(); i += 1) {
    const started = performance.now();
    const number = String(i);
    // A server gives each of them a name of its own: one that was sent twice is there twice.
    const metadata = { generateName: 'soak-', labels: { [label]: number } };
    const what = `POST of ${number}`;
    try {
      const { status, ms } = await doors[i % 2 === 0 ? 0 : 1].call(proxyPath('a', configMaps), {
        ...{ method: 'POST', headers: ['Content-Type', 'application/json'] },
        body: JSON.stringify({ metadata, data: { text: 'x'.repeat(500) } }),
      });
      notes.count(`POST ${status}`);
      if (status === 201) accepted.add(number);
      else notes.fail({ cluster: 'a', what: `${what}: ${status}`, at: started, ms });
    } catch (error) {
      notes.fail({
        cluster: 'a',
        what: `${what}: ${String(error)}`,
        at: started,
        ms: performance.now() - started,
      });
    }
    await pause(soak, 1000 / perSecond);
  }
  const numbers = (await list()).items.map(({ metadata }) => metadata.labels?.[label] ?? '');
  compare(soak, 'at the cluster', { accepted, seen: numbers });
  for (const { door, seen } of await Promise.all(watches))
    compare(soak, `in a watch through ${door === 0 ? 'the hub' : 'the gateway'}`, { accepted, seen });
}

/** Watches again from where the last watch ended, until the soak ends and a moment longer. */
async function followWatch(soak: Soak, door: number, from: string): Promise<readonly string[]> {
  const client = soak.doors[door === 0 ? 0 : 1];
  const seen: string[] = [];
  let resourceVersion = from;
  let last = false;
  while (!last) {
    const query = `watch=1&labelSelector=${label}&timeoutSeconds=${20 + Math.floor(Math.random() * 60)}`;
    const path = proxyPath('a', `${configMaps}?${query}&resourceVersion=${resourceVersion}`);
    const started = performance.now();
    const watch = await readWatch(client, path);
    soak.notes.count('watches');
    while (watch.state() === 'open' && !soak.ended()) await pause(soak, 200);
    if (soak.ended()) {
      last = true;
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      watch.end();
    }
    for (const { type, object } of watch.events) {
      const { labels } = (object.metadata ?? {}) as { labels?: Record<string, string> };
      if (type === 'ADDED') seen.push(labels?.[label] ?? '');
      if (type === 'ERROR') soak.notes.lose(`a watch: ${JSON.stringify(object)}`);
      resourceVersion = object.metadata?.resourceVersion ?? resourceVersion;
    }
    if (!last && watch.state() === 'broken')
      soak.notes.fail({
        cluster: 'a',
        what: 'a watch was cut',
        at: started,
        ms: performance.now() - started,
      });
  }
  return seen;
}

function compare(
  { notes }: Soak,
  where: string,
  { accepted, seen }: { readonly accepted: ReadonlySet<string>; readonly seen: readonly string[] },
): void {
  const times = new Map<string, number>();
  for (const number of seen) times.set(number, (times.get(number) ?? 0) + 1);
  for (const number of accepted)
    if (times.get(number) !== 1)
      notes.lose(`ConfigMap ${number} was seen ${times.get(number) ?? 0} times ${where}`);
  notes.count(`ConfigMaps ${where}`, seen.length);
}
