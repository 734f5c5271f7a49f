import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { type BinaryRecipe, catalogue, groups } from './catalogue.ts';

const recipes: [string, BinaryRecipe][] = Object.entries(catalogue);
const modOf = (module: string): string => readFileSync(join(import.meta.dirname, module, 'go.mod'), 'utf8');

test.each(recipes)('%s is a tool of its module, so that go mod tidy keeps what it needs', (_, recipe) => {
  const tools = [...modOf(recipe.module).matchAll(/^(?:tool |\t)(\S+)$/gm)].map(([, path]) => path);
  expect(tools).toContain(recipe.package);
});

test('the version that the Kubernetes binaries report is the pinned one', () => {
  const mod = modOf('kubernetes');
  const version = /^(?:require |\t)k8s\.io\/kubernetes (v\S+)/m.exec(mod)?.[1] ?? 'none';
  expect(catalogue.kubelet.ldflags).toContain(`component-base/version.gitVersion=${version} `);
  expect(catalogue.kubelet.ldflags).toMatch(new RegExp(`client-go/pkg/version.gitVersion=${version}$`));
  // kubernetes v1.X.Y goes with staging modules v0.X.Y.
  const staging = [...mod.matchAll(/^\tk8s\.io\/\S+ => k8s\.io\/\S+ (v\S+)$/gm)].map(([, pinned]) => pinned);
  expect(new Set(staging)).toEqual(new Set([version.replace('v1.', 'v0.')]));
});

test('every binary is in a group', () => {
  expect(Object.values(groups).flat().toSorted()).toEqual(Object.keys(catalogue).toSorted());
});
