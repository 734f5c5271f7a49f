import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

/** Which folder of src may import which: every import goes down. Packages and node:* are free unless named below. */
const mayImport: Record<string, readonly string[]> = {
  base: [],
  kube: ['base'],
  http2: ['base'],
  net: ['http2', 'base'],
  pki: ['base'],
  tunnel: ['net', 'http2', 'pki', 'base'],
  hub: ['kube', 'net', 'base'],
  apiserver: ['hub', 'kube', 'pki', 'http2', 'base'],
  clusters: ['hub', 'kube', 'base'],
  proxy: ['apiserver', 'clusters', 'net', 'kube', 'base'],
  gateway: ['proxy', 'apiserver', 'clusters', 'hub', 'kube', 'base'],
  sdk: ['kube'],
  app: ['gateway', 'proxy', 'clusters', 'apiserver', 'hub', 'tunnel', 'pki', 'net', 'kube', 'base'],
  embedded: ['app', 'apiserver', 'hub', 'sdk', 'pki', 'kube', 'base'],
  cli: ['app', 'embedded', 'sdk', 'pki', 'base'],
};

/** Packages that have one place. */
const packagePlaces: Record<string, readonly string[]> = {
  ajv: ['apiserver'],
  fastify: ['apiserver'],
  '@kubernetes/client-node': ['hub', 'sdk'],
  'node-forge': ['pki'],
  '@peculiar/x509': ['pki'],
  pino: ['app', 'cli'],
  re2js: ['clusters'],
  commander: ['app', 'cli'],
};

const forbiddenNames = /(^|\/)(utils?|common|helpers?|manager|types|misc)(\.ts$|\/)/;
const sourceRoot = import.meta.dirname;

interface Import {
  readonly from: string;
  readonly to: string;
}

const isTest = (file: string) => file.endsWith('.test.ts') || file.includes('/testing/');

const sources = readdirSync(sourceRoot, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !isTest(file))
  .map((file) => file.replaceAll('\\', '/'));

function importsOf(file: string): Import[] {
  const found = ts.preProcessFile(readFileSync(join(sourceRoot, file), 'utf8'), true, true);
  return found.importedFiles.map(({ fileName }) => ({ from: file, to: fileName }));
}

const folderOf = (file: string) => file.split('/')[0] ?? '';
const relativeImports = sources
  .flatMap(importsOf)
  .filter(({ to }) => to.startsWith('.'))
  .map(({ from, to }) => ({ from, to: relative(sourceRoot, resolve(sourceRoot, dirname(from), to)) }));
const packageImports = sources
  .flatMap(importsOf)
  .filter(({ to }) => !to.startsWith('.') && !to.startsWith('node:'));

function findCycle(edges: readonly Import[]): string[] | undefined {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const target of next.get(file) ?? []) {
      const cycle = visit(target, [...path, file]);
      if (cycle) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of next.keys()) {
    const cycle = visit(file, []);
    if (cycle) return cycle;
  }
  return undefined;
}

describe('the plan of the house', () => {
  test('every folder of src stands in the table', () => {
    expect([...new Set(sources.map(folderOf))].filter((folder) => !(folder in mayImport))).toEqual([]);
  });

  test('every import goes down', () => {
    const wrong = relativeImports.filter(({ from, to }) => {
      const [source, target] = [folderOf(from), folderOf(to)];
      return source !== target && !mayImport[source]?.includes(target);
    });
    expect(wrong).toEqual([]);
  });

  test('packages are imported where they belong', () => {
    const wrong = packageImports.filter(({ from, to }) => {
      const name = to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : (to.split('/')[0] ?? '');
      const places = packagePlaces[name];
      return places !== undefined && !places.includes(folderOf(from));
    });
    expect(wrong).toEqual([]);
  });

  test('no file imports itself through others', () => {
    expect(findCycle(relativeImports)).toBeUndefined();
  });

  test('a cycle would be found', () => {
    expect(
      findCycle([
        { from: 'a', to: 'b' },
        { from: 'b', to: 'a' },
      ]),
    ).toEqual(['a', 'b', 'a']);
  });

  test('the table itself has no cycle', () => {
    const edges = Object.entries(mayImport).flatMap(([from, targets]) => targets.map((to) => ({ from, to })));
    expect(findCycle(edges)).toBeUndefined();
  });

  test('names say what a file is, and index.ts is for public entries', () => {
    expect(sources.filter((file) => forbiddenNames.test(file))).toEqual([]);
    expect(
      sources.filter((file) => file.endsWith('index.ts') && !['sdk', 'app'].includes(folderOf(file))),
    ).toEqual([]);
  });
});
