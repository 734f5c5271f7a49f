import { z } from 'zod';

export interface InformerObject<T> {
  readonly namespace: string;
  readonly name: string;
  readonly object: T;
}

/**
 * `replaced`: a new list has taken the place of all objects (the first one, and after the hub has forgotten our
 * version); its differences were told before it. `advanced`: nothing that is followed changed up to this version.
 * `deleted` has the last object.
 */
export type InformerEvent<T> =
  | (InformerObject<T> & {
      readonly type: 'added' | 'modified' | 'deleted';
      readonly resourceVersion: string;
    })
  | { readonly type: 'replaced'; readonly resourceVersion: string }
  | { readonly type: 'advanced'; readonly resourceVersion: string };

const objectShape = z.object({
  metadata: z.object({
    name: z.string().min(1),
    namespace: z.string().optional(),
    resourceVersion: z.string().optional(),
  }),
});

interface Entry<T> extends InformerObject<T> {
  readonly key: string;
  readonly version: string;
}

/** An object as it came, or why it cannot be used; `key` is undefined where not even its name can be read. */
type Reading<T> =
  | { readonly type: 'object'; readonly key: string; readonly entry: Entry<T> }
  | { readonly type: 'unreadable'; readonly key: string | undefined };

/** A list that grows page by page, until it takes the place of what is stored. */
export interface StagedList<T> {
  readonly entries: Map<string, Entry<T>>;
  readonly unreadable: Set<string>;
}

export interface InformerStoreOptions<T> {
  readonly decode: (object: unknown) => T;
  /** Hears of each object that `decode` threw at. */
  readonly onUnreadable: (where: { namespace: string; name: string }, error: unknown) => void;
}

/** The objects of an informer, by namespace and name, and what each change of them means to listeners. */
export class InformerStore<T> {
  readonly #options: InformerStoreOptions<T>;
  #entries = new Map<string, Entry<T>>();
  #unreadable = new Set<string>();
  #values: readonly T[] | undefined;

  constructor(options: InformerStoreOptions<T>) {
    this.#options = options;
  }

  /** How many objects the hub has now that `decode` threw at. */
  get skipped(): number {
    return this.#unreadable.size;
  }

  get(namespace: string, name: string): T | undefined {
    return this.#entries.get(`${namespace}/${name}`)?.object;
  }

  list(): readonly T[] {
    this.#values ??= [...this.#entries.values()].map(({ object }) => object);
    return this.#values;
  }

  stage(): StagedList<T> {
    return { entries: new Map(), unreadable: new Set() };
  }

  add(staged: StagedList<T>, items: readonly unknown[]): void {
    for (const item of items) {
      const reading = this.#read(item);
      if (reading.type === 'object') staged.entries.set(reading.key, reading.entry);
      else staged.unreadable.add(reading.key ?? '');
    }
  }

  /** Takes the new list, and gives what is different in it: deletions first, a name may have moved. */
  replace({ entries, unreadable }: StagedList<T>, resourceVersion: string): InformerEvent<T>[] {
    const before = this.#entries;
    this.#entries = entries;
    this.#unreadable = unreadable;
    this.#values = undefined;
    const events: InformerEvent<T>[] = [];
    for (const [key, entry] of before) {
      if (!entries.has(key)) events.push(eventOf('deleted', entry, resourceVersion));
    }
    for (const [key, entry] of entries) {
      const old = before.get(key);
      if (!old) events.push(eventOf('added', entry, entry.version));
      else if (!isSame(old, entry)) events.push(eventOf('modified', entry, entry.version));
    }
    events.push({ type: 'replaced', resourceVersion });
    return events;
  }

  /** Takes one change. Undefined: the object cannot even be named, so there is no telling what changed. */
  apply(
    type: 'ADDED' | 'MODIFIED' | 'DELETED',
    object: unknown,
    resourceVersion: string,
  ): InformerEvent<T> | undefined {
    const reading = type === 'DELETED' ? nameOf(object) : this.#read(object);
    if (reading?.key === undefined) return undefined;
    const { key } = reading;
    const before = this.#entries.get(key);
    const entry = 'entry' in reading ? reading.entry : undefined;
    if (entry && before && isSame(before, entry)) return { type: 'advanced', resourceVersion };
    this.#values = undefined;
    if (type === 'DELETED' || entry) this.#unreadable.delete(key);
    else this.#unreadable.add(key);
    if (entry) {
      this.#entries.set(key, entry);
      return eventOf(before ? 'modified' : 'added', entry, resourceVersion);
    }
    // Whatever the new state is, the old one is over: fail closed when it cannot be read.
    this.#entries.delete(key);
    return before ? eventOf('deleted', before, resourceVersion) : { type: 'advanced', resourceVersion };
  }

  #read(value: unknown): Reading<T> {
    const named = nameOf(value);
    if (!named) return { type: 'unreadable', key: undefined };
    const { key, namespace, name, version } = named;
    try {
      const object = this.#options.decode(value);
      return { type: 'object', key, entry: { key, namespace, name, version, object } };
    } catch (error) {
      this.#options.onUnreadable({ namespace, name }, error);
      return { type: 'unreadable', key };
    }
  }
}

function nameOf(value: unknown): Omit<Entry<never>, 'object'> | undefined {
  const metadata = objectShape.safeParse(value).data?.metadata;
  if (!metadata) return undefined;
  const { name, namespace = '', resourceVersion: version = '' } = metadata;
  return { key: `${namespace}/${name}`, namespace, name, version };
}

/** The same version is the same object: it may be told twice where a list and a watch meet. */
const isSame = <T>(before: Entry<T>, after: Entry<T>) =>
  before.version !== '' && before.version === after.version;

function eventOf<T>(
  type: 'added' | 'modified' | 'deleted',
  { namespace, name, object }: Entry<T>,
  resourceVersion: string,
): InformerEvent<T> {
  return { type, namespace, name, object, resourceVersion };
}
