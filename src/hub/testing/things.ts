import { silentLog } from '../../base/log.ts';
import { createInformer } from '../informer.ts';
import type { Informer, InformerEvent, InformerOptions } from '../informer.ts';
import { closeAtEnd } from './fake-hub.ts';
import type { FakeHub } from './fake-hub.ts';

export interface Thing {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion: string };
  readonly value: string;
}

export const path = '/api/v1/namespaces/x/secrets';
export const never = new AbortController().signal;

export const thing = (name: string, resourceVersion: string, value = 'v'): Thing => ({
  metadata: { name, namespace: 'x', resourceVersion },
  value,
});
export const listOf = (resourceVersion: string, items: readonly unknown[], next = '') => ({
  kind: 'SecretList',
  apiVersion: 'v1',
  metadata: { resourceVersion, ...(next === '' ? {} : { continue: next }) },
  items,
});
export const event = (type: string, object: unknown) => ({ type, object });
export const bookmark = (resourceVersion: string) => event('BOOKMARK', { metadata: { resourceVersion } });

function decode(object: unknown): Thing {
  const found = object as Thing;
  if (found.value === 'bad') throw new Error('bad value');
  return found;
}

/** Follows the hub, and writes down what it hears: `added a@5`. */
export async function follow(hub: FakeHub, more: Partial<InformerOptions<Thing>> = {}) {
  const client = more.client ?? (await hub.client());
  const informer: Informer<Thing> = closeAtEnd(
    createInformer({ client, path, decode, log: silentLog, ...more }),
  );
  const heard: string[] = [];
  informer.subscribe((each) => heard.push(textOf(each)));
  const names = () => informer.list().map(({ metadata }) => metadata.name);
  return { informer, heard, names, client };
}

function textOf(each: InformerEvent<Thing>): string {
  const what = 'object' in each ? ` ${each.name}=${each.object.value}` : '';
  return `${each.type}${what}@${each.resourceVersion}`;
}

/** Answers the first list, and gives the watch that follows. */
export async function settle(hub: FakeHub, items: readonly unknown[] = [], version = '10') {
  (await hub.next()).json(listOf(version, items));
  const watch = await hub.next();
  watch.open();
  return watch;
}
